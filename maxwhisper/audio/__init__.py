"""Audio input: turn any file, bytes or array into a float32 mono 16 kHz waveform."""
