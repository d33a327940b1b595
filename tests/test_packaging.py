"""The repository as a package, a pixi workspace and a Space: one set of pins, imports one way."""

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PACKAGES = ("maxwhisper", "baselines")
CODE = sorted(
    path
    for folder in (*PACKAGES, "examples", "tools", "deploy", "app.py")
    for path in ([ROOT / folder] if folder.endswith(".py") else (ROOT / folder).rglob("*.py"))
    if path.exists()
)
PICTURES = ROOT / "tools" / "take_pictures.py"  # for developers, as the tests are
TESTS = sorted((ROOT / "tests").rglob("*.py"))
OWN = {*PACKAGES, "app", "examples", "tools", *(path.stem for path in TESTS)}

# Heavy packages, and the only places that may import them (paths begin with one of these).
ONLY_FROM = {
    "max": ("maxwhisper/graphs/", "maxwhisper/runtime/", "maxwhisper/whisper.py"),
    "gradio": ("maxwhisper/ui/",),
    "plotly": ("maxwhisper/ui/", "maxwhisper/bench_figures.py"),
    "whisper": ("baselines/", "maxwhisper/checkpoint/convert.py", "tools/train_demo/"),
    "faster_whisper": ("baselines/",),
    "onnxruntime": ("maxwhisper/vad.py",),
}
# Importer -> what it must never import. Leaves are the modules directly in `maxwhisper/`.
FORBIDDEN = {
    "maxwhisper/": ("baselines", "tools", "app"),
    "baselines/": ("maxwhisper.ui", "maxwhisper.bench", "maxwhisper.cli", "app"),
    "maxwhisper/graphs/": ("maxwhisper.runtime", "maxwhisper.decoding", "maxwhisper.transcribe"),
    "maxwhisper/runtime/": (
        "maxwhisper.decoding.rules",
        "maxwhisper.decoding.search",
        "maxwhisper.decoding.window",
        "maxwhisper.transcribe",
        "maxwhisper.ui",
    ),
    "maxwhisper/decoding/": ("maxwhisper.runtime", "maxwhisper.graphs", "maxwhisper.transcribe"),
    "maxwhisper/transcribe/": ("maxwhisper.runtime", "maxwhisper.graphs", "maxwhisper.ui"),
    "maxwhisper/checkpoint/": ("maxwhisper.runtime", "maxwhisper.graphs", "maxwhisper.decoding"),
    "maxwhisper/cli/": ("maxwhisper.graphs", "maxwhisper.whisper", "maxwhisper.ui"),
    "maxwhisper/bench": ("maxwhisper.runtime", "maxwhisper.graphs", "maxwhisper.whisper"),
    "maxwhisper/ui/": ("maxwhisper.runtime", "maxwhisper.graphs", "maxwhisper.decoding"),
}


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
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


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


def inside(name: str, module: str) -> bool:
    return name == module or name.startswith(f"{module}.")


def front_matter() -> dict[str, object]:
    match = re.match(r"---\n(.*?)\n---\n", (ROOT / "README.md").read_text(), re.DOTALL)
    assert match, "README.md must begin with the front matter of a Gradio Space"
    return yaml.safe_load(match[1])


def test_pixi_holds_the_same_pins():
    manifest = tomllib.loads((ROOT / "pixi.toml").read_text())
    pixi = {canonical(name): pin for name, pin in manifest["pypi-dependencies"].items()}
    wanted = pins("requirements.txt") | pins("requirements-dev.txt")
    assert pixi == {name: f"=={version}" for name, version in wanted.items()}
    assert manifest["workspace"]["channels"] == ["conda-forge"]
    assert set(manifest["tasks"]) >= {"app", "test", "lint", "bench", "selftest"}


def test_pixi_tasks_are_make_targets():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(tomllib.loads((ROOT / "pixi.toml").read_text())["tasks"]) <= targets


def test_what_is_pinned_is_what_is_installed():
    for name, version in (pins("requirements.txt") | pins("requirements-dev.txt")).items():
        try:
            installed = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            pytest.skip(f"{name} is not installed: this environment was not made by `make test`")
        assert installed.split("+")[0] == version, name


def test_every_import_is_declared():
    code = [path for path in CODE if path != PICTURES]
    assert undeclared(code, set(pins("requirements.txt"))) == set()


def test_every_import_of_the_tests_is_declared():
    declared = set(pins("requirements.txt") | pins("requirements-dev.txt"))
    assert undeclared([*TESTS, PICTURES], declared) == set()


def test_gpu_requirements_are_pinned():
    assert "nvidia-cublas-cu12" in pins("requirements-gpu.txt")


def test_space_front_matter():
    keys = front_matter()
    assert keys["sdk"] == "gradio"
    assert keys["sdk_version"] == pins("requirements.txt")["gradio"]
    assert keys["python_version"] == "3.11", "quote it: YAML reads 3.10 as 3.1"
    assert keys["license"] == "apache-2.0"
    assert (ROOT / str(keys["app_file"])).is_file()
    assert len(str(keys["short_description"])) <= 60, "a Space cuts longer ones"
    assert {"title", "emoji", "colorFrom", "colorTo"} <= set(keys)


def test_space_packages_are_bare_names():
    """A Space hands the file's words to apt-get: no comments, no versions."""
    names = (ROOT / "packages.txt").read_text().split()
    assert names
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9+.-]+", name) for name in names), names


def test_licence():
    licence = (ROOT / "LICENSE").read_text()
    assert "Apache License" in licence
    assert "Version 2.0, January 2004" in licence
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert pyproject["project"]["license"] == "Apache-2.0"


def test_the_wheel_holds_every_data_file_and_no_tools():
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert setuptools["packages"]["find"]["include"] == [f"{package}*" for package in PACKAGES]
    package = ROOT / "maxwhisper"
    matched = {
        path
        for pattern in setuptools["package-data"]["maxwhisper"]
        for path in package.glob(pattern)
        if path.is_file()
    }
    data = {p for p in package.rglob("*.*") if p.is_file() and p.suffix not in (".py", ".pyc")}
    assert data == matched
    assert package / "assets" / "demo" / "model.safetensors" in data


@pytest.mark.parametrize("package", ONLY_FROM)
def test_heavy_packages_stay_in_their_rooms(package):
    allowed = ONLY_FROM[package]
    strays = {
        path.relative_to(ROOT).as_posix()
        for path in CODE
        if any(inside(name, package) for name in imports(path))
    }
    assert {path for path in strays if not path.startswith(allowed)} == set()


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_imports_point_one_way(folder):
    for path in CODE:
        relative = path.relative_to(ROOT).as_posix()
        if relative.startswith(folder):
            for name in imports(path):
                hits = [module for module in FORBIDDEN[folder] if inside(name, module)]
                assert not hits, f"{relative} imports {name}"


def test_leaves_import_only_leaves():
    """Modules directly in maxwhisper/ and named here know nothing of networks or recordings."""
    leaves = {
        *("errors", "dims", "options", "stream_options", "transcript", "languages"),
        *("vocabulary", "tokenizer", "validation"),
        *("audio", "audio_child", "container", "mixdown", "samples", "vad", "mel", "reference"),
        *("scoring", "writers", "records", "machine", "clock", "paths", "palette"),
    }
    above = ("graphs", "runtime", "decoding", "transcribe", "serving", "ui", "whisper", "cli")
    for leaf in sorted(leaves):
        for name in imports(ROOT / "maxwhisper" / f"{leaf}.py"):
            assert not any(inside(name, f"maxwhisper.{room}") for room in above), f"{leaf}: {name}"


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
