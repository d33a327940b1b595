"""Build the folder that a Hugging Face Space is made of: `python deploy/space/build.py FOLDER`.

Input: the clone's committed files. Output: a folder with what the page needs and nothing else. With
`--gpu` it also has what faster-whisper needs on an NVIDIA GPU. With `--docker` it is a Docker
Space, whose packages are verified by their hashes.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

CLONE = Path(__file__).parents[2]
PAGE = ("app.py", "LICENSE", "README.md", "baselines", "examples", "maxwhisper", "results/races")
GRADIO = ("requirements.txt", "packages.txt")  # what a Gradio Space installs
DOCKER = (".dockerignore", "deploy/requirements.lock")
# Keys of the README's front matter that only a Gradio Space has.
_GRADIO_KEYS = ("sdk:", "sdk_version:", "python_version:", "app_file:")
_DOCKER_KEYS = ("sdk: docker", "app_port: 7860")
_FENCE = "---"


def build(folder: Path, *, is_docker: bool = False, has_gpu: bool = False) -> list[Path]:
    """Write the Space into `folder`, and return the paths of its files in it, sorted.

    Raises `FileExistsError` unless the folder is new or empty, and `CalledProcessError` if this is
    no clone.
    """
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"expected a new or empty folder at {folder}: choose another one")
    wanted = [*PAGE, *(DOCKER if is_docker else GRADIO)]
    for name in _committed(wanted):
        _copy(CLONE / name, folder / name)
    if is_docker:
        _copy(CLONE / "deploy" / "docker" / "Dockerfile", folder / "Dockerfile")
        card = folder / "README.md"
        card.write_text(_for_docker(card.read_text(encoding="utf-8")), encoding="utf-8")
    elif has_gpu:  # installed before requirements.txt
        _copy(CLONE / "requirements-gpu.txt", folder / "pre-requirements.txt")
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())


def _committed(wanted: list[str]) -> list[str]:
    command = ["git", "-C", str(CLONE), "ls-files", "-z", "--", *wanted]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [name for name in listed.split("\0") if name]


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _for_docker(card: str) -> str:
    """Return the README with the front matter of a Docker Space."""
    _, front, text = card.split(f"{_FENCE}\n", 2)
    kept = [line for line in front.splitlines() if not line.startswith(_GRADIO_KEYS)]
    return "\n".join([_FENCE, *kept, *_DOCKER_KEYS, _FENCE, text])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="a new folder")
    parser.add_argument("--docker", action="store_true", help="a Docker Space")
    parser.add_argument("--gpu", action="store_true", help="a Gradio Space on an NVIDIA GPU")
    options = parser.parse_args()
    if options.docker and options.gpu:
        sys.exit("build.py: expected --docker or --gpu: a Docker Space has the packages for both")
    try:
        files = build(options.folder, is_docker=options.docker, has_gpu=options.gpu)
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"build.py: {error}")
    n_bytes = sum((options.folder / file).stat().st_size for file in files)
    print(f"{len(files)} files, {n_bytes / 1e6:.0f} MB, in {options.folder}. To push them:")
    print(f"hf upload USER/NAME {options.folder} . --repo-type space")


if __name__ == "__main__":
    main()
