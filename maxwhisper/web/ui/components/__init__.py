"""The Components tab: every part of maxwhisper checked against a reference."""
