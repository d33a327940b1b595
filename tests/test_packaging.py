"""The repository as a package, a pixi workspace and a Space: one set of pins, one package."""

import ast
import importlib.metadata
import json
import lzma
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from maxwhisper.checkpoint.registry import OFFICIAL_MODELS
from maxwhisper.paths import package_folder
from maxwhisper.web.server.better_weights import fit_for

ROOT = Path(__file__).parents[1]
CODE = sorted(
    path
    for folder in ("maxwhisper", "baselines", "examples", "tools", "deploy", "app.py")
    for path in ([ROOT / folder] if folder.endswith(".py") else (ROOT / folder).rglob("*.py"))
    if path.exists()
)
PICTURES = ROOT / "tools" / "take_pictures.py"  # for developers, as the tests are
TESTS = sorted((ROOT / "tests").rglob("*.py"))
OWN = {
    *("maxwhisper", "baselines", "app", "examples", "tools", "tests"),
    *(path.stem for path in TESTS),
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def pins(name: str) -> dict[str, str]:
    """{distribution: version} of a requirements file; every line must be an exact pin."""
    lines = [line.split("#")[0].strip() for line in (ROOT / name).read_text().splitlines()]
    matches = [re.fullmatch(r"([A-Za-z0-9_.-]+)==([^,;\s]+)", line) for line in lines if line]
    assert all(matches), f"{name}: every requirement must be NAME==VERSION"
    return {canonical(match[1]): match[2] for match in matches if match}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def imports(path: Path) -> Iterator[str]:
    """Full dotted names of all modules imported anywhere in the file, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ranges(*extras: str) -> list[Requirement]:
    """What the package requires, without extras or with some of them."""
    optional = PROJECT["optional-dependencies"]
    lines = [*PROJECT["dependencies"], *(line for extra in extras for line in optional[extra])]
    return [Requirement(line) for line in lines if not line.startswith("maxwhisper[")]


def core_distributions() -> set[str]:
    """What `pip install .` installs, with the requirements of requirements."""
    found, names = set[str](), [requirement.name for requirement in ranges()]
    while names:
        name = canonical(names.pop())
        if name not in found:
            found.add(name)
            for line in importlib.metadata.requires(name) or []:
                requirement = Requirement(line)
                if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                    names.append(requirement.name)
    return found


def undeclared(paths: list[Path], declared: set[str]) -> set[str]:
    """`file: module` for third-party imports whose distribution is not in `declared`."""
    distributions = importlib.metadata.packages_distributions()
    missing = set()
    for path in paths:
        for module in {name.split(".")[0] for name in imports(path)}:
            if module in sys.stdlib_module_names or module in OWN:
                continue
            owners = {canonical(name) for name in distributions.get(module, [module])}
            # MAX is split over several wheels that the one named `max` pins exactly.
            if not (owners & declared or (module == "max" and "max" in declared)):
                missing.add(f"{path.relative_to(ROOT)}: {module}")
    return missing


def front_matter() -> dict[str, object]:
    match = re.match(r"---\n(.*?)\n---\n", (ROOT / "README.md").read_text(), re.DOTALL)
    assert match, "README.md must begin with the front matter of a Gradio Space"
    return yaml.safe_load(match[1])


def test_pixi_holds_the_same_pins():
    manifest = tomllib.loads((ROOT / "pixi.toml").read_text())
    assert manifest["pypi-dependencies"].pop("maxwhisper") == {"path": ".", "editable": True}
    pixi = {canonical(name): pin for name, pin in manifest["pypi-dependencies"].items()}
    wanted = pins("requirements.txt") | pins("requirements-dev.txt")
    assert pixi == {name: f"=={version}" for name, version in wanted.items()}
    assert manifest["workspace"]["channels"] == ["conda-forge"]
    assert set(manifest["tasks"]) >= {"app", "test", "lint", "bench", "selftest"}


def test_pixi_tasks_are_make_targets():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(tomllib.loads((ROOT / "pixi.toml").read_text())["tasks"]) <= targets


def test_pins_are_within_the_ranges():
    everything = pins("requirements.txt") | pins("requirements-dev.txt")
    required = ranges(*PROJECT["optional-dependencies"])
    assert {canonical(requirement.name) for requirement in required} == set(everything)
    for requirement in required:
        assert requirement.specifier.contains(everything[canonical(requirement.name)]), requirement


def test_what_is_pinned_is_what_is_installed():
    for name, version in (pins("requirements.txt") | pins("requirements-dev.txt")).items():
        try:
            installed = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            pytest.skip(f"{name} is not installed: this environment was not made by `make test`")
        assert installed.split("+")[0] == version, name


def test_every_import_is_declared():
    code = [path for path in CODE if path != PICTURES]
    on_request = {  # of the extra `field`, of sound cards, and of developers
        "baselines/whisper_cpp_engine.py: _pywhispercpp",
        "baselines/whisper_cpp_engine.py: pywhispercpp",
        "examples/microphone.py: sounddevice",
        "tools/licences.py: packaging",
    }
    assert undeclared(code, set(pins("requirements.txt"))) == on_request


def test_every_import_of_the_tests_is_declared():
    declared = set(pins("requirements.txt") | pins("requirements-dev.txt"))
    assert undeclared([*TESTS, PICTURES], declared) == set()


def required_by(name: str) -> set[str]:
    """What an installed distribution needs on this machine, without extras; none if it is not."""
    try:
        lines = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return set()
    needed = map(Requirement, lines)
    return {canonical(r.name) for r in needed if not r.marker or r.marker.evaluate({"extra": ""})}


def test_gpu_requirements_are_pinned():
    assert "nvidia-cublas-cu12" in pins("requirements-gpu.txt")


def test_the_lock_has_every_pin_and_every_hash():
    """`pip install --require-hashes` refuses a file in which one package has none."""
    text = (ROOT / "deploy" / "requirements.lock").read_text()
    entry = r"^([a-z0-9-]+)==(\S+) \\\n(?:    --hash=sha256:[0-9a-f]{64}.*\n)+"
    entries = re.findall(entry, text, re.MULTILINE)
    locked = dict(entries)
    others = [line for line in text.splitlines() if not line.startswith(("#", "    --hash="))]
    assert len(entries) == len(others), "a line is neither a package with hashes nor a comment"
    wanted = pins("requirements.txt") | pins("requirements-gpu.txt")
    assert {name: locked.get(name) for name in wanted} == wanted, "run: make lock"
    for name in wanted:
        assert required_by(name) <= set(locked), name


def test_space_front_matter():
    keys = front_matter()
    assert keys["sdk"] == "gradio"
    assert keys["sdk_version"] == pins("requirements.txt")["gradio"]
    assert keys["python_version"] == "3.11", "quote it: YAML reads 3.10 as 3.1"
    assert keys["license"] == "apache-2.0"
    assert (ROOT / str(keys["app_file"])).is_file()
    assert len(str(keys["short_description"])) <= 60, "a Space cuts longer ones"
    assert {"title", "emoji", "colorFrom", "colorTo"} <= set(keys)


def test_a_space_has_the_weights_that_its_page_wants():
    preloaded = {line.split()[0] for line in front_matter()["preload_from_hub"]}
    # A GPU, the free hardware, and the larger CPU
    for gpus, threads in (([{}], 8), ([], 2), ([], 8)):
        model = fit_for({"gpus": gpus, "threads": threads, "cores": None}, list(OFFICIAL_MODELS))
        assert f"openai/whisper-{model}" in preloaded


def test_space_packages_are_bare_names():
    """A Space hands the file's words to apt-get: no comments, no versions."""
    names = (ROOT / "packages.txt").read_text().split()
    assert names
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9+.-]+", name) for name in names), names


def test_licence():
    licence = (ROOT / "LICENSE").read_text()
    assert "Apache License" in licence
    assert "Version 2.0, January 2004" in licence
    assert PROJECT["license"] == "Apache-2.0 AND MIT", "MIT: assets/silero, assets/vocabulary"
    for folder in ("silero", "vocabulary"):
        assert "MIT License" in (ROOT / "maxwhisper" / "assets" / folder / "LICENSE").read_text()


@pytest.mark.parametrize("name", ["gpt2", "multilingual"])
def test_the_vocabulary_is_that_of_openai_whisper(name):
    ours = ROOT / "maxwhisper" / "assets" / "vocabulary" / f"{name}.tiktoken.xz"
    theirs = package_folder("whisper") / "assets" / f"{name}.tiktoken"
    assert lzma.decompress(ours.read_bytes()) == theirs.read_bytes()


def test_the_voice_activity_network_is_that_of_faster_whisper():
    name = "silero_vad_v6.onnx"
    ours = ROOT / "maxwhisper" / "assets" / "silero" / name
    theirs = package_folder("faster_whisper") / "assets" / name
    assert ours.read_bytes() == theirs.read_bytes()


PACKAGES = ("maxwhisper", "baselines")


@pytest.fixture(scope="module")
def wheel_file(tmp_path_factory):
    """The wheel, built from a copy of the sources."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for name in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = "import setuptools.build_meta as build, sys; build.build_wheel(sys.argv[1])"
    subprocess.run(
        [sys.executable, "-c", build, folder], cwd=source, check=True, capture_output=True
    )
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_both_packages_with_all_their_files(wheel_file):
    with zipfile.ZipFile(wheel_file) as wheel:
        packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
        [entry_points] = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
        assert "maxwhisper = maxwhisper.__main__:run" in wheel.read(entry_points).decode()
        talk = (ROOT / "examples" / "clips" / "talk.flac").read_bytes()
        assert wheel.read("maxwhisper/assets/clips/talk.flac") == talk, "for `profile talk`"
    files = {
        path.relative_to(ROOT).as_posix()
        for name in PACKAGES
        for path in (ROOT / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert packed == files


WITHOUT_CLONE = """
import os, sys
import maxwhisper.__main__

def refuse(event, args):
    if event == "open" and str(args[0]).startswith({clone!r}):
        if not str(args[0]).startswith(sys.prefix):
            os.write(2, f"read {{args[0]}}".encode())
            os._exit(3)

assert maxwhisper.__file__.startswith({installed!r}), maxwhisper.__file__
sys.addaudithook(refuse)
maxwhisper.__main__.run()
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        "bench talk 1s --rounds 1 --warmups 1 --no_aa",
        "profile talk",
        "parity --checkpoints model --option_sets greedy",
    ],
)
def test_what_measures_runs_without_a_clone(command, wheel_file, tmp_path):
    """The files of the wheel are all that it finds: the clone is neither imported nor read."""
    installed = tmp_path / "site-packages"
    with zipfile.ZipFile(wheel_file) as wheel:
        wheel.extractall(installed)
    program = WITHOUT_CLONE.format(clone=str(ROOT) + os.sep, installed=str(installed))
    arguments = [sys.executable, "-c", program, *command.split(), "--json"]
    environment = os.environ | {"PYTHONPATH": str(installed)}
    done = subprocess.run(
        arguments, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)


CORE_ALONE = """
import importlib.abc, sys

class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in {refused!r}:
            raise ModuleNotFoundError(f"{{name}} is not part of the core install")

sys.meta_path.insert(0, Refuse())
import numpy as np
import maxwhisper
from maxwhisper.audio.load import decode

model, clip = maxwhisper.load(), "examples/clips/plain.flac"
print(model.transcribe(clip).text)
print(model.transcribe(clip, vad=True).text)
print(model.transcribe(clip, batch_size=4).text)
stream = model.stream()
for samples in np.array_split(decode(clip), 8):
    stream.feed(samples)
print(stream.finish().text)
"""


def test_the_core_install_transcribes_batches_cuts_at_pauses_and_streams(engine):
    """No package but those of the core can be imported; `engine` has compiled the graphs."""
    core = core_distributions()
    refused = {
        module
        for module, distributions in importlib.metadata.packages_distributions().items()
        if not {canonical(name) for name in distributions} & core and module not in OWN
    }
    assert {"torch", "gradio", "whisper", "faster_whisper", "ctranslate2", "librosa"} <= refused
    run = subprocess.run(
        [sys.executable, "-c", CORE_ALONE.format(refused=refused)],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert run.returncode == 0, run.stderr
    texts = run.stdout.splitlines()
    assert len(texts) == 4
    assert all(texts)


@pytest.mark.parametrize("module", ["maxwhisper", "maxwhisper.cli", "maxwhisper.engine"])
def test_importing_loads_no_heavy_package(module):
    code = (
        f"import sys, {module};"
        "heavy = ['max', 'torch', 'gradio', 'ctranslate2', 'librosa', 'whisper', 'av'];"
        "print([name for name in heavy if name in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert run.stdout.strip() == "[]"
