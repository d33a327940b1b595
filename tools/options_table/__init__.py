"""docs/options.md: which options each entry point honours, found by calling it."""
