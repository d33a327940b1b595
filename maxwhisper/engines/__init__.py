"""Engines in processes of their own: started, watched, and timed one at a time."""
