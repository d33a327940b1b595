"""The folder of a Space: what is committed and needed, and the front matter of its kind."""

import importlib.util
import re
import subprocess

import pytest
import yaml

from tests.conftest import ROOT

SCRIPT = ROOT / "deploy" / "space" / "build.py"
SPEC = importlib.util.spec_from_file_location("build_space", SCRIPT)
space = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(space)


def card(folder):
    return yaml.safe_load(
        re.match(r"---\n(.*?)\n---\n", (folder / "README.md").read_text(), re.S)[1]
    )


def committed(*names):
    command = ["git", "-C", str(ROOT), "ls-files", "--", *names]
    return set(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())


@pytest.fixture
def stray():
    """A file that nobody committed."""
    path = ROOT / "examples" / "stray.txt"
    path.write_text("private")
    yield path
    path.unlink()


def test_a_gradio_space_is_the_page_and_its_packages(tmp_path, stray):
    files = {str(path) for path in space.build(tmp_path / "space", has_gpu=True)}
    page = committed("app.py", "baselines", "examples", "maxwhisper", "results/races")
    others = {"LICENSE", "README.md", "requirements.txt", "packages.txt", "pre-requirements.txt"}
    assert files == page | others
    gpu = (ROOT / "requirements-gpu.txt").read_text()
    assert (tmp_path / "space" / "pre-requirements.txt").read_text() == gpu
    assert (tmp_path / "space" / "README.md").read_text() == (ROOT / "README.md").read_text()


def test_a_docker_space_has_its_own_front_matter_and_the_same_page(tmp_path):
    gradio = {str(path) for path in space.build(tmp_path / "gradio")}
    docker = {str(path) for path in space.build(tmp_path / "docker", is_docker=True)}
    assert gradio - docker == {"requirements.txt", "packages.txt"}
    assert docker - gradio == {"Dockerfile", ".dockerignore", "deploy/requirements.lock"}
    before, after = card(tmp_path / "gradio"), card(tmp_path / "docker")
    assert after["sdk"] == "docker"
    assert after["app_port"] == 7860
    only = {"sdk", "sdk_version", "python_version", "app_file", "app_port"}
    kept = {key: value for key, value in before.items() if key not in only}
    assert kept == {key: value for key, value in after.items() if key not in only}
    text = (tmp_path / "docker" / "README.md").read_text().split("---\n", 2)[2]
    assert text == (ROOT / "README.md").read_text().split("---\n", 2)[2]


def test_a_folder_with_files_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="expected a new or empty folder"):
        space.build(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
