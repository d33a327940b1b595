"""From recordings of any length, or a live stream, to transcripts. Never sees a logit."""
