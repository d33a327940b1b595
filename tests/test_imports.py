"""Importing a module does nothing: it opens no file of the package, and no connection."""

import subprocess
import sys
from pathlib import Path

import maxwhisper

# Imports every module of the package in the folder given, and prints what was opened meanwhile.
PROGRAM = """
import importlib, os, pkgutil, sys

folder, opened = sys.argv[1], []

def watch(event, args):
    if event == "socket.connect":
        opened.append(f"connection to {args[1]}")
    if event == "open" and isinstance(args[0], str):
        path = os.path.realpath(args[0])
        is_ours = path.startswith(folder + os.sep) and "__pycache__" not in path
        if is_ours and not path.endswith(".py"):
            opened.append(path)

sys.addaudithook(watch)
names = [each.name for each in pkgutil.walk_packages([folder], "maxwhisper.")]
for name in names:
    if name != "maxwhisper.__main__":
        importlib.import_module(name)
print(len(names), *opened, sep="\\n")
"""


def test_importing_the_package_opens_nothing():
    folder = Path(maxwhisper.__file__).resolve().parent
    command = [sys.executable, "-c", PROGRAM, str(folder)]
    imported = subprocess.run(command, capture_output=True, text=True, check=True)
    n_modules, *opened = imported.stdout.split("\n")[:-1]
    assert int(n_modules) == len(list(folder.rglob("*.py"))) - 1  # the package itself
    assert opened == []
