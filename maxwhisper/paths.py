"""Where this package keeps what it downloads and compiles. Creates nothing."""

import os
from pathlib import Path


def cache_root() -> Path:
    """MAXWHISPER_CACHE if set, else XDG_CACHE_HOME/maxwhisper, else ~/.cache/maxwhisper."""
    if own := os.environ.get("MAXWHISPER_CACHE"):
        return Path(own).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base).expanduser() if base else Path.home() / ".cache") / "maxwhisper"
