"""Device code: compile, load and run graphs."""
