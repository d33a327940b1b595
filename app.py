"""The page: three engines, one recording. Start it with `make app` or `python app.py`.

The composition root: it reads flags and environment, passes engines, clips and checks to the page,
or engines alone to the API, and cleans up when it is stopped.
"""

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parent / "examples" / "clips"
RECORDED = Path(__file__).parent / "results" / "races"
# The proxies of a Space have private addresses. Each appends the address of its client to
# X-Forwarded-For, so the last address that is not a proxy's is the visitor's, and a visitor cannot
# forge it.
SPACE_PROXIES = "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7"
# Read when gradio is imported and when its queue is created. By default gradio summarises its last
# 10,000 events after each event, for a statistics page that is off here: 6 ms of CPU during a race.
GRADIO = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_ANALYTICS_CACHE_FREQUENCY": str(10**9),
    "GRADIO_ANALYTICS_MAX_EVENTS": "100",
}
log = logging.getLogger("maxwhisper.settings")
LOADING_BYTES = 3 * 2 * 4  # per parameter: three engines, the file and the network, float32


def parse_arguments() -> argparse.Namespace:
    """Flags. Their defaults come from the environment variables that Gradio Spaces set."""
    on_space = "SPACE_ID" in os.environ
    default_host = os.environ.get("GRADIO_SERVER_NAME", "0.0.0.0" if on_space else "127.0.0.1")
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--host", default=default_host, help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=os.environ.get("GRADIO_SERVER_PORT", "7860"))
    parser.add_argument(
        "--model",
        action="append",
        help="a checkpoint that visitors can choose; repeat for more, the first is the default. "
        "Without it: demo, then every official model that fits in memory, and the page gets the "
        "one that suits this machine, or MAXWHISPER_MODEL, and makes it the default",
    )
    parser.add_argument("--offline", action="store_true", help="download no weights")
    parser.add_argument("--device", default="auto", help="auto, cpu or gpu (%(default)s)")
    parser.add_argument("--dtype", default="auto", help="auto, float32, float16 or bfloat16")
    parser.add_argument(
        "--share",
        action="store_true",
        help="also serve at a public address, through a gradio.live tunnel, for at most a week",
    )
    parser.add_argument(
        "--no-page", action="store_true", help="serve the API alone, which needs no gradio"
    )
    return parser.parse_args()


def models_on_offer(memory_gib: float | None) -> list[str]:
    """The bundled checkpoint, then every official model that fits in memory three times."""
    from maxwhisper.checkpoint import DEFAULT_MODEL, n_parameters
    from maxwhisper.checkpoint.registry import ALIASES, OFFICIAL_MODELS

    room = (memory_gib or 0) * 2**30
    fitting = [
        name
        for name, model in OFFICIAL_MODELS.items()
        if name not in ALIASES and n_parameters(model.dims) * LOADING_BYTES <= room
    ]
    return [DEFAULT_MODEL, *fitting]


def models_of(arguments: argparse.Namespace, hardware: Mapping[str, Any]) -> tuple[list[str], str]:
    """The models on offer, and the one that the page gets by itself; "" for none."""
    from maxwhisper.checkpoint import DEFAULT_MODEL, find, is_offline
    from maxwhisper.web.server.better_weights import fit_for
    from maxwhisper.web.settings import MODEL

    if arguments.model:
        return arguments.model, ""
    models = models_on_offer(hardware["memory_gib"])
    here = [name for name in models if not is_offline() or find(name, is_verified=False)]
    better = os.environ.get(MODEL) or (
        fit_for(hardware, here, arguments.device) or fit_for(hardware, models, arguments.device)
    )
    models = here
    if better in ("", DEFAULT_MODEL):
        return models, ""
    return (models if better in models else [*models, better]), better


def main() -> None:
    """Serve until stopped. An error that an operator can fix ends the program with one line."""
    logging.basicConfig(format="%(asctime)s %(name)s: %(message)s")
    for name in (log.name, "maxwhisper.web.api"):  # settings, and a line for each recording
        logging.getLogger(name).setLevel(logging.INFO)
    arguments = parse_arguments()
    from maxwhisper.errors import MaxWhisperError

    try:
        serve(arguments)
    except (MaxWhisperError, OSError) as error:  # OSError: the port is taken, a folder is read-only
        sys.exit(f"app.py: {error}")


def serve(arguments: argparse.Namespace) -> None:
    """Start everything, wait for a signal, stop everything.

    Raises `OSError` if the port is taken and `MaxWhisperError` for an invalid setting.
    """
    # Imported here, because every engine process imports this file when it starts.
    from maxwhisper import machine
    from maxwhisper.engine import ENGINES, OURS
    from maxwhisper.engines.pool import EnginePool
    from maxwhisper.web.api.server import ApiParts, served_api
    from maxwhisper.web.server.better_weights import BetterWeights
    from maxwhisper.web.server.fair_use import FairUse
    from maxwhisper.web.server.live_desk import LiveDesk
    from maxwhisper.web.server.queue import VisitorQueue
    from maxwhisper.web.server.uploads import Uploads, make_upload_folder
    from maxwhisper.web.settings import Settings

    if arguments.offline:
        os.environ["MAXWHISPER_OFFLINE"] = "1"  # engine processes read it too
    settings = Settings.from_environment()
    log.info("%s", ", ".join(settings.lines()))
    fair = FairUse(settings.limits)
    uploads = Uploads(make_upload_folder())
    os.environ |= {"GRADIO_TEMP_DIR": str(uploads.root), **GRADIO}
    if "SPACE_ID" in os.environ:
        os.environ.setdefault("FORWARDED_ALLOW_IPS", SPACE_PROXIES)  # read by uvicorn
    hardware = machine.describe()
    models, better = models_of(arguments, hardware)
    pool = EnginePool(
        sorted(ENGINES, key=OURS.__eq__),  # ours last: panels are read from left to right
        models,
        device=arguments.device,
        dtype=arguments.dtype,
    )
    desk, queue = LiveDesk(pool, fair), VisitorQueue(fair)
    weights = BetterWeights(better, pool, queue, lambda: desk.is_live)
    parts: dict[str, Any] = {"pool": pool, "uploads": uploads, "queue": queue}
    parts["api"] = settings.api
    stop = threading.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, lambda *_: stop.set())
    if arguments.no_page:
        served = served_api(ApiParts(**parts), host=arguments.host, port=arguments.port)
    else:
        parts |= {"machine": hardware, "desk": desk, "weights": weights}
        served = served_page(parts, arguments)
    try:
        with served as address:
            print(f"maxwhisper is at {address} (engines are loading; Ctrl-C stops it)", flush=True)
            weights.verify()
            pool.start()
            weights.start()
            stop.wait()
    finally:
        weights.close()
        pool.close()
        uploads.wipe()


@contextmanager
def served_page(parts: Mapping[str, Any], arguments: argparse.Namespace) -> Iterator[str]:
    """Serve the page until the block ends; yields its address. `parts` are those that are there
    without a page, by their names in `PageParts`."""
    from maxwhisper.evaluation.selftest.catalog import CATALOG
    from maxwhisper.paths import cache_root
    from maxwhisper.web.server.run_store import KEEP_DAYS, KEEP_RUNS, RunStore
    from maxwhisper.web.ui.examples import load_examples
    from maxwhisper.web.ui.page import PageParts, build_page, serve_page
    from maxwhisper.web.ui.race.result_view import chart_page

    folder, keep_own = cache_root() / "runs", int(parts["queue"].fair.limits.kept)
    runs = RunStore(folder, KEEP_DAYS, KEEP_RUNS, chart_page, RECORDED, keep_own)
    whole = PageParts(examples=load_examples(EXAMPLES), catalogue=CATALOG, runs=runs, **parts)
    page = build_page(whole)
    address = serve_page(
        page, whole, host=arguments.host, port=arguments.port, share=arguments.share
    )
    parts["uploads"].start_sweeping(also=runs.prune)
    try:
        yield address
    finally:
        page.close(verbose=False)


if __name__ == "__main__":
    main()
