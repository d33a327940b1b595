"""`models`: which weights are here, where they come from, and how to get or remove them.

In: parsed arguments and the answer stream. Out: an exit code. Imports heavy packages inside
functions.
"""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from maxwhisper.cli.commands import load_checkpoint
from maxwhisper.cli.flags import add_cache_flag
from maxwhisper.cli.output import answer, progress
from maxwhisper.errors import CheckpointError, OptionError

if TYPE_CHECKING:
    from maxwhisper.checkpoint.places import Place
    from maxwhisper.network.dims import Dims

ACTIONS = ("list", "get", "remove", "show")
_GRAPHS = {"ready": "graphs ready", "packed": "graphs in the package", "": "compiled on first use"}


def add_models_flags(parser: argparse.ArgumentParser) -> None:
    """Add the action and the names of models."""
    parser.add_argument(
        "action",
        nargs="?",
        choices=ACTIONS,
        default="list",
        help="list what is here and what there is (default); get: download and verify; remove: "
        "delete from our cache; show: the tensors of one model",
    )
    parser.add_argument(
        "models",
        nargs="*",
        metavar="M",
        help="name that the list has, or a repository of the Hugging Face Hub, user/name or "
        "hf://user/name@revision",
    )
    add_cache_flag(parser)


def models(args: argparse.Namespace, out: TextIO) -> int:
    """List, get, remove or show models."""
    if args.action in ("get", "remove") and not args.models:
        raise OptionError(f"expected the name of a model after `models {args.action}`, got none")
    if args.action == "list" and args.models:
        raise OptionError("expected `models list` alone: `models show` takes a name")
    actions = {"list": _list, "get": _get, "remove": _remove, "show": _show}
    return actions[args.action](args, out)


def _list(args: argparse.Namespace, out: TextIO) -> int:
    from maxwhisper.checkpoint import DEFAULT_MODEL, available, others

    rows = [
        _row(row.name, row.dims, row.place, args.cache_dir) for row in available(args.cache_dir)
    ]
    rows += [
        _row(place.name, _dims(place), place, args.cache_dir) for place in others(args.cache_dir)
    ]
    here = [row for row in rows if row["place"]]
    absent = [row for row in rows if not row["place"]]
    width = max(len(row["name"]) for row in rows)
    lines = ["On this disk:", *(_line(row, width) for row in here), ""]
    lines += ["Download with `maxwhisper models get NAME`, or downloaded on first use:"]
    lines += [_line(row, width) for row in absent]
    lines += ["", "Any Whisper repository of the Hugging Face Hub is a NAME too: user/name"]
    answer(out, args.json, {"models": rows, "default": DEFAULT_MODEL}, lines)
    return 0


def _row(
    name: str, dims: "Dims | None", place: "Place | None", cache_dir: Path | None
) -> dict[str, Any]:
    from maxwhisper.checkpoint import n_parameters
    from maxwhisper.runtime.compiled import graphs_on_disk

    return {
        "name": name,
        "parameters": n_parameters(dims) if dims else None,
        "place": _document(place) if place else None,
        "graphs": graphs_on_disk(dims, cache_dir) if dims else None,
    }


def _line(row: dict[str, Any], width: int) -> str:
    from maxwhisper.checkpoint import DEFAULT_MODEL

    place = row["place"]
    millions = "?" if row["parameters"] is None else f"{row['parameters'] / 1e6:.1f}"
    parts = [
        f"  {row['name']:{width}}",
        f"{millions:>7} M parameters",
        f"{_GRAPHS.get(row['graphs'], ''):21}",
        "" if place is None else place["line"],
        "(the default)" if row["name"] == DEFAULT_MODEL else "",
    ]
    return "  ".join(parts).rstrip()


def _document(place: "Place") -> dict[str, Any]:
    return asdict(place) | {"path": str(place.path), "line": place.line}


def _dims(place: "Place") -> "Dims | None":
    """The dims of a repository; None in a format that does not state them apart."""
    from maxwhisper.checkpoint.hf_folder import read_dims

    try:
        return read_dims(place.path)
    except CheckpointError:
        return None


def _get(args: argparse.Namespace, out: TextIO) -> int:
    from maxwhisper import checkpoint
    from maxwhisper.cli.bar import download_bar

    places = []
    for name in args.models:
        with download_bar() as bar:
            places.append(
                checkpoint.get(name, cache_dir=args.cache_dir, on_download=bar, progress=progress)
            )
    lines = [f"{place.name}: {place.line}" for place in places]
    answer(out, args.json, {"models": [_document(place) for place in places]}, lines)
    return 0


def _remove(args: argparse.Namespace, out: TextIO) -> int:
    from maxwhisper import checkpoint

    lines, documents = [], []
    for name in args.models:
        removed = checkpoint.remove(name, cache_dir=args.cache_dir)
        what = f"removed {removed.n_bytes / 1e6:.0f} MB" if removed.paths else "not in our cache"
        lines.append(f"{name}: {what}")
        lines += [f"  left in {place.line}" for place in removed.left]
        paths, left = [str(path) for path in removed.paths], map(_document, removed.left)
        documents.append({"name": name, "removed": paths, "left": list(left)})
    answer(out, args.json, {"models": documents}, lines)
    return 0


def _show(args: argparse.Namespace, out: TextIO) -> int:
    from maxwhisper.checkpoint import tensor_table

    if len(args.models) > 1:
        raise OptionError(f"expected one model to show, got {len(args.models)}")
    args.model = next(iter(args.models), None)
    checkpoint = load_checkpoint(args)
    rows = tensor_table(checkpoint)
    width = max(len(row.name) for row in rows)
    lines = [f"{row.name:{width}}  {row.shape!s:16}  {row.dtype:8}  {row.role}" for row in rows]
    document = {
        "model": checkpoint.name,
        "source": checkpoint.source,
        "dims": checkpoint.dims.to_dict(),
        "tensors": [asdict(row) for row in rows],
    }
    answer(out, args.json, document, lines)
    return 0
