"""Archives: thousands of recordings to text, on one machine or many, with nothing lost."""
