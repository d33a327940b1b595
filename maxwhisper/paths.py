"""Where this package keeps what it downloads and compiles, and where other packages lie.

Creates nothing, and imports none of them.
"""

import importlib.util
import os
from pathlib import Path


def cache_root() -> Path:
    """MAXWHISPER_CACHE if set, else XDG_CACHE_HOME/maxwhisper, else ~/.cache/maxwhisper."""
    if own := os.environ.get("MAXWHISPER_CACHE"):
        return Path(own).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base).expanduser() if base else Path.home() / ".cache") / "maxwhisper"


def package_folder(name: str) -> Path | None:
    """The folder of an installed package, or None."""
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec is not None and spec.origin is not None else None
