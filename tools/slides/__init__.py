"""The slides: one self-contained HTML file made from benchmark records. Not in the wheel."""
