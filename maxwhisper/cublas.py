"""cuBLAS as pip installs it, where the loader of shared libraries does not look.

MAX (26.7.0, for most products in float16 and many in other precisions) and CTranslate2 open it by
name when they first multiply on a GPU. A library that is open already answers to its name.
"""

import ctypes
import importlib.util
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

_LIBRARIES = ("libcublasLt.so", "libcublas.so")  # in the order they need each other


def open_cublas(versions: Sequence[int]) -> list[Path]:
    """Open the first of these major versions that a wheel of NVIDIA brought; what was opened, or
    nothing: then the system may have its own."""
    with suppress(ModuleNotFoundError):
        spec = importlib.util.find_spec("nvidia")
        folders = [Path(place) for place in (spec and spec.submodule_search_locations) or ()]
        for version in versions:
            names = [f"*/lib/{library}.{version}" for library in _LIBRARIES]
            paths = [path for name in names for folder in folders for path in folder.glob(name)]
            if opened := [path for path in paths if _open(path)]:
                return opened
    return []


def _open(path: Path) -> bool:
    try:
        ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
    except OSError:  # for another machine, or without what it needs itself
        return False
    return True
