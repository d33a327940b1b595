"""A container without a container engine: files, user, settings and command of an image in a mount
namespace, on a root file system that is read-only.

In: a Dockerfile or another description, and a folder of files. Out: a command that starts what the
container starts. Needs root on Linux. The system's own Python and libraries stand in for those of
the base image, and apt-get is not run.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

USER_ID = 1000
# Of this machine, read-only; the last has Python, and may be anywhere.
SYSTEM = ("usr", "bin", "lib", "lib64", sys.base_prefix.strip("/"))
PACKAGES = "opt/venv"
TEMPORARY = "size=4g,mode=1777,nosuid,nodev,noexec"  # as `docker run --tmpfs /tmp` mounts it
SHARED = "size=1g,mode=1777,nosuid,nodev,noexec"
_ENTER = f"""
set -eu
root=$1 packages=$2 state=$3 writable=$4
shift 4
mount --bind "$root" "$root"
for name in {" ".join(SYSTEM)}; do
    if [ ! -L "/$name" ]; then
        mount --bind "/$name" "$root/$name"
        mount -o remount,ro,bind "$root/$name"
    fi
done
if [ -n "$packages" ]; then
    mount --bind "$packages" "$root/{PACKAGES}"
    mount -o remount,ro,bind "$root/{PACKAGES}"
fi
mount -o remount,ro,bind "$root"
mount --bind "$state" "$root/$writable"
mount -t tmpfs -o {TEMPORARY} tmpfs "$root/tmp"
mount --rbind /proc "$root/proc"
for name in null zero full random urandom; do mount --bind "/dev/$name" "$root/dev/$name"; done
mount -t tmpfs -o {SHARED} tmpfs "$root/dev/shm"
exec chroot "$root" /usr/bin/setpriv --reuid {USER_ID} --regid {USER_ID} --clear-groups \\
    --bounding-set=-all --no-new-privs -- /usr/bin/env -i "$@"
"""


@dataclass(frozen=True)
class Image:
    """What a container is made of."""

    copied: Sequence[tuple[str, str]]  # from the context, into the working folder
    folder: str  # the working folder
    environment: Mapping[str, str]
    command: Sequence[str]
    user: str
    writable: str  # the folder of its volume
    health: Sequence[str] = ()
    installs: str = ""  # the shell command that makes the environment of packages


def read(dockerfile: Path) -> Image:
    """Read the few instructions that our Dockerfile has. Raises `ValueError` for another one, so
    that none is left out in silence."""
    text = re.sub(r"\\\n\s*", "", dockerfile.read_text(encoding="utf-8"))
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    copied: list[tuple[str, str]] = []
    found: dict[str, str] = {}
    environment: dict[str, str] = {}
    stage = -1
    installs = ""
    for line in lines:
        instruction, _, value = line.partition(" ")
        stage += instruction == "FROM"
        if instruction == "RUN" and stage == 0:
            installs = value
        elif instruction == "COPY" and stage and not value.startswith("--from"):
            *names, target = value.split()
            copied += [(name, target) for name in names]
        elif instruction == "ENV":
            environment |= dict(pair.split("=", 1) for pair in value.split())
        elif instruction in ("USER", "WORKDIR", "CMD", "HEALTHCHECK", "VOLUME"):
            found[instruction] = value
        elif instruction not in ("FROM", "RUN", "COPY", "EXPOSE", "STOPSIGNAL"):
            raise ValueError(f"expected an instruction that is known, got {instruction}")
    return Image(
        copied,
        found["WORKDIR"],
        environment,
        json.loads(found["CMD"]),
        found["USER"],
        found["VOLUME"],
        json.loads(found["HEALTHCHECK"].partition("CMD ")[2]),
        installs,
    )


def make_root(root: Path, image: Image, context: Path) -> None:
    """Make the root file system in the new folder `root`: what the image copies, the points where
    folders are mounted, and the user."""
    work = root / image.folder.lstrip("/")
    for name, target in image.copied:
        source = context / name
        to = work / (Path(name).name if target == "./" else target)
        copy = shutil.copytree if source.is_dir() else shutil.copyfile
        to.parent.mkdir(parents=True, exist_ok=True)
        copy(source, to)
    points = (PACKAGES, image.writable.lstrip("/"), "tmp", "proc", "dev/shm", "etc")
    for name in (*SYSTEM, *points):
        system = Path("/") / name
        if system.is_symlink() and name in SYSTEM:  # /bin -> usr/bin
            (root / name).symlink_to(os.readlink(system))
        else:
            (root / name).mkdir(parents=True, exist_ok=True)
    for name in ("null", "zero", "full", "random", "urandom"):
        (root / "dev" / name).touch()
    (root / "home" / image.user).mkdir(parents=True, exist_ok=True)
    user = f"{image.user}:x:{USER_ID}:{USER_ID}::/home/{image.user}:/bin/sh\n"
    (root / "etc/passwd").write_text(f"root:x:0:0::/root:/bin/sh\n{user}")
    (root / "etc/group").write_text(f"root:x:0:\n{image.user}:x:{USER_ID}:\n")
    for name in ("etc/ld.so.cache", "etc/hosts", "etc/localtime", "etc/nsswitch.conf"):
        if Path("/", name).exists():
            shutil.copyfile(Path("/", name), root / name)
    for path in (root, *root.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o644)


def entered(
    root: Path, image: Image, command: Sequence[str], state: Path, packages: Path | None
) -> list[str]:
    """Return the command that runs `command`, settings first, in the container as its user. `state`
    is its volume; `packages` stands in for its packages, None if they were installed in `root`."""
    settings = {"HOME": f"/home/{image.user}", "PATH": "/usr/local/bin:/usr/bin:/bin"}
    given = [f"{key}={value}" for key, value in (settings | dict(image.environment)).items()]
    begin = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _ENTER, "sh"]
    work = ["--chdir", image.folder]
    places = [str(root), str(packages or ""), str(state), image.writable.lstrip("/")]
    return [*begin, *places, *work, *given, *command]


def install(root: Path, image: Image, requirements: Path) -> None:
    """Run `image.installs` to make the packages of `root`. `requirements` lie in its /tmp."""
    shutil.copyfile(requirements, root / "tmp" / requirements.name)
    shutil.rmtree(root / PACKAGES)
    command = image.installs.replace("/tmp/", f"{root}/tmp/").replace("/opt/", f"{root}/opt/")
    command = command.replace("python -m venv", f"{sys.executable} -m venv")
    # Without this machine's own settings: hashes are those of the public files.
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PIP_")}
    subprocess.run(["sh", "-ec", command], check=True, env=kept | {"PIP_CONFIG_FILE": os.devnull})
