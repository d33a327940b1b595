"""The page: three engines, one recording. Start it with `make app` or `python app.py`.

The composition root: reads flags and environment, gives engines, clips and checks to the page, and
leaves nothing behind when it is told to stop.
"""

import argparse
import os
import signal
import sys
import threading
from pathlib import Path

EXAMPLES = Path(__file__).parent / "examples" / "clips"
RECORDED = Path(__file__).parent / "results" / "races"
# A Space's proxies have private addresses. Each adds to X-Forwarded-For whom it heard from: the
# last address there that is none of theirs is the visitor's, whatever else was written there.
SPACE_PROXIES = "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7"
# Read when gradio is imported, and when its queue is made. It sums up its last 10,000 events after
# every one of them, for a statistics page that is off here: 6 ms of processor beside a race.
GRADIO = {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_ANALYTICS_CACHE_FREQUENCY": str(10**9)}
LOADING_BYTES = 3 * 2 * 4  # per parameter: three engines, the file and the network, float32


def parse_arguments() -> argparse.Namespace:
    """Flags; their defaults come from the environment variables that Gradio Spaces set."""
    on_space = "SPACE_ID" in os.environ
    default_host = os.environ.get("GRADIO_SERVER_NAME", "0.0.0.0" if on_space else "127.0.0.1")
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--host", default=default_host, help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=os.environ.get("GRADIO_SERVER_PORT", "7860"))
    parser.add_argument(
        "--model",
        action="append",
        help="a checkpoint that visitors may choose; repeat for more, the first is the default "
        "(demo, and every official model that fits in memory)",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu or gpu (%(default)s)")
    parser.add_argument("--dtype", default="auto", help="auto, float32, float16 or bfloat16")
    parser.add_argument(
        "--share",
        action="store_true",
        help="also at a public address, through a tunnel of gradio.live, for a week at most",
    )
    return parser.parse_args()


def models_on_offer(memory_gib: float | None) -> list[str]:
    """The bundled checkpoint, then the official models that three engines can hold, each once."""
    from maxwhisper.checkpoint import DEFAULT_MODEL, available

    room = (memory_gib or 0) * 2**30
    by_file = {row.path: row for row in reversed(available())}  # "large" is "large-v3" again
    return [
        row.name
        for row in reversed(by_file.values())
        if row.name == DEFAULT_MODEL or row.parameters * LOADING_BYTES <= room
    ]


def main() -> None:
    """Serve until told to stop. What an operator can put right ends it with one line."""
    arguments = parse_arguments()
    from maxwhisper.errors import MaxWhisperError

    try:
        serve(arguments)
    except (MaxWhisperError, OSError) as error:  # OSError: the port is taken, a folder is read-only
        sys.exit(f"app.py: {error}")


def serve(arguments: argparse.Namespace) -> None:
    """Start everything, wait for a signal, end everything. Raises `OSError` where the port is taken
    and `MaxWhisperError` for an impossible setting."""
    # Imported here, not above: every engine's process imports this file again when it starts.
    from maxwhisper import machine
    from maxwhisper.engine import ENGINES, OURS
    from maxwhisper.paths import cache_root
    from maxwhisper.selftest.catalog import CATALOG
    from maxwhisper.serving.fair_use import FairUse, Limits
    from maxwhisper.serving.live import LiveDesk
    from maxwhisper.serving.live_routes import live_route
    from maxwhisper.serving.pool import EnginePool
    from maxwhisper.serving.ready import ready_route
    from maxwhisper.serving.run_routes import run_routes
    from maxwhisper.serving.runs import KEEP_DAYS, KEEP_RUNS, RunStore
    from maxwhisper.serving.uploads import Uploads, make_upload_folder

    fair = FairUse(Limits.from_environment())
    uploads = Uploads(make_upload_folder())
    os.environ |= {"GRADIO_TEMP_DIR": str(uploads.root), **GRADIO}
    if "SPACE_ID" in os.environ:
        os.environ.setdefault("FORWARDED_ALLOW_IPS", SPACE_PROXIES)  # read by uvicorn
    from maxwhisper.ui.examples import load_examples
    from maxwhisper.ui.page import build_page, serve_page
    from maxwhisper.ui.run_view import chart_page

    hardware = machine.describe()
    pool = EnginePool(
        sorted(ENGINES, key=OURS.__eq__),  # ours last: lanes read left to right
        arguments.model or models_on_offer(hardware["memory_gib"]),
        device=arguments.device,
        dtype=arguments.dtype,
    )
    examples = load_examples(EXAMPLES)
    runs = RunStore(cache_root() / "runs", KEEP_DAYS, KEEP_RUNS, chart_page, RECORDED)
    desk = LiveDesk(pool)
    routes = [*run_routes(runs), ready_route(pool), live_route(desk)]
    stop = threading.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, lambda *_: stop.set())
    try:
        page = build_page(pool, examples, CATALOG, uploads, hardware, runs, desk, fair)
        address = serve_page(
            page,
            uploads,
            examples,
            routes,
            fair,
            host=arguments.host,
            port=arguments.port,
            share=arguments.share,
        )
        print(f"maxwhisper is at {address} (engines are loading; Ctrl-C stops it)", flush=True)
        pool.start()
        uploads.start_janitor(also=runs.prune)
        stop.wait()
        page.close(verbose=False)
    finally:
        pool.close()
        uploads.wipe()


if __name__ == "__main__":
    main()
