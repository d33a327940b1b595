"""The Use it tab: code that repeats a race, its settings, limits."""
