"""Finding the cuBLAS wheel for CTranslate2, with a stand-in library where there is no GPU."""

import shutil
import sys
from pathlib import Path

import pytest

from baselines.faster_engine import preload_cublas


@pytest.fixture
def site(tmp_path, monkeypatch):
    """An empty site-packages in front of the real one, without the modules found before."""
    for name in [name for name in sys.modules if name.split(".")[0] == "nvidia"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_without_the_wheel_nothing_is_opened(site):
    (site / "nvidia").mkdir()
    (site / "nvidia" / "__init__.py").touch()
    assert preload_cublas() == []


def test_the_wheels_libraries_are_opened(site):
    import ctranslate2

    bundled = Path(ctranslate2.__file__).parent.parent / "ctranslate2.libs"
    library = next(bundled.glob("libgomp*.so*"), None)
    if library is None:
        pytest.skip("no small shared library at hand to stand in for cuBLAS")
    folder = site / "nvidia" / "cublas" / "lib"
    folder.mkdir(parents=True)
    for package in (folder.parent, folder.parent.parent):
        (package / "__init__.py").touch()
    shutil.copy(library, folder / "libcublas.so.12")
    assert preload_cublas() == [folder / "libcublas.so.12"]
    assert str(folder) in Path("/proc/self/maps").read_text()
