"""The Whisper network in numpy, without MAX: dimensions, mel filters and the reference network."""
