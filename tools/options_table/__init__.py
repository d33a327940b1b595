"""docs/options.md: which option may be given where, found out by asking."""
