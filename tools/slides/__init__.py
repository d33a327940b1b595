"""The slides: one self-contained HTML file, made of benchmark records. Not in the wheel."""
