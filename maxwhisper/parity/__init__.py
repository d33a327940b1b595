"""Is it Whisper, exactly? Every option on every clip, against openai-whisper, same weights."""
