"""From logits to tokens and text, in numpy. Does not import MAX."""
