"""Text: tokenizer, languages, transcript files, word error rate. Knows no audio and no network."""
