"""From logits to text, in numpy; MAX is not imported here."""
