"""The Live tab: transcription while you speak."""
