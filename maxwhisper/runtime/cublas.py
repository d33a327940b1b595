"""Open the cuBLAS that pip installs: the loader of shared libraries does not search there.

MAX (26.7.0, for most products in float16 and many in other precisions) and CTranslate2 open cuBLAS
by name when they first multiply on a GPU. A library that is already open is found by its name.
"""

import ctypes
import importlib.util
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

_LIBRARIES = ("libcublasLt.so", "libcublas.so")  # the second needs the first


def open_cublas(versions: Sequence[int]) -> list[Path]:
    """Open the first of these major versions that an NVIDIA wheel provides.

    Returns the opened files. An empty list means that the system may have its own cuBLAS.
    """
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
    except OSError:  # built for another machine, or a dependency is missing
        return False
    return True
