"""Find cuBLAS where pip installs it; a stand-in library replaces it without a GPU."""

import shutil
import sys
from pathlib import Path

import pytest

from maxwhisper.runtime import device
from maxwhisper.runtime.cublas import open_cublas


@pytest.fixture
def site(tmp_path, monkeypatch):
    """An empty site-packages before the real one, without the modules found before."""
    for name in [name for name in sys.modules if name.split(".")[0] == "nvidia"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_without_the_wheel_nothing_is_opened(site):
    (site / "nvidia").mkdir()
    (site / "nvidia" / "__init__.py").touch()
    assert open_cublas((13, 12)) == []


@pytest.fixture
def wheel(site):
    """wheel(version, folder): a library of that version there, or one that cannot be opened."""
    import ctranslate2

    bundled = Path(ctranslate2.__file__).parent.parent / "ctranslate2.libs"
    library = next(bundled.glob("libgomp*.so*"), None)
    if library is None:
        pytest.skip("no small shared library at hand to stand in for cuBLAS")

    def make(version, name, is_broken=False):
        path = site / "nvidia" / name / "lib" / f"libcublas.so.{version}"
        path.parent.mkdir(parents=True)
        (site / "nvidia" / "__init__.py").touch()
        path.touch() if is_broken else shutil.copy(library, path)
        return path

    return make


def test_the_first_version_that_is_there_is_opened(wheel):
    old, new = wheel(12, "cublas"), wheel(13, "cu13")
    assert open_cublas((13, 12)) == [new]
    assert open_cublas((12,)) == [old]
    assert str(new) in Path("/proc/self/maps").read_text()


def test_a_library_that_cannot_be_opened_is_passed_over(wheel):
    wheel(13, "cu13", is_broken=True)
    old = wheel(12, "cublas")
    assert open_cublas((13, 12)) == [old]


def test_it_is_open_before_max_runs_on_a_gpu(monkeypatch):
    opened = []
    monkeypatch.setattr(device, "accelerator_count", lambda: 1)
    monkeypatch.setattr(device, "open_cublas", opened.append)
    monkeypatch.setattr(device, "gpu_placement", lambda *_: opened.append("placed"))
    device.choose("gpu")
    assert opened == [device.CUBLAS, "placed"]
