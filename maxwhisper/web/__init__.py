"""The page: its server, and what a visitor sees."""
