"""What the project claims, and how each claim is measured."""
