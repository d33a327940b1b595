"""Compare every option on every clip with openai-whisper, on the same weights."""
