"""The benchmark: engines timed on the same audio, and the records it writes."""
