"""The whole page: header and tabs, and the one way it may be served.

In: engines, clips, checks, the machine's description. Out: a running server. `app.py` puts the
parts together.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.middleware import Middleware
from starlette.routing import Route

from maxwhisper.serving.fair_use import FairUse
from maxwhisper.serving.live import LiveDesk
from maxwhisper.serving.perimeter import Perimeter
from maxwhisper.serving.pool import EnginePool
from maxwhisper.serving.runs import RunStore
from maxwhisper.serving.uploads import MAX_FILE_MB, Uploads
from maxwhisper.ui.components import Catalogue, components_tab
from maxwhisper.ui.examples import Example
from maxwhisper.ui.header import header
from maxwhisper.ui.layers import layers_section
from maxwhisper.ui.listen import listen_tab
from maxwhisper.ui.live import live_tab
from maxwhisper.ui.race import race_tab
from maxwhisper.ui.race_api import race_api
from maxwhisper.ui.race_run import Runner
from maxwhisper.ui.theme import CSS, theme
from maxwhisper.ui.timings import timings_tab
from maxwhisper.ui.use_it import use_it_tab

MAX_EVENTS = 8  # that wait, clicks of all visitors: the next is told to come back
MAX_SESSIONS = 500  # whose state is remembered
_SCRIPTS = [
    (Path(__file__).parent / name).read_text(encoding="utf-8").strip()
    for name in ("page.js", "recording.js")
]


def build_page(
    pool: EnginePool,
    examples: Sequence[Example],
    catalogue: Catalogue,
    uploads: Uploads,
    machine: Mapping[str, Any],
    runs: RunStore,
    desk: LiveDesk,
    fair: FairUse,
) -> gr.Blocks:
    """Describe the page; nothing runs yet. `machine` is `maxwhisper.machine.describe()`, `runs`
    keeps finished races, `desk` has the live session, `fair` every visitor's share."""
    with gr.Blocks(title="maxwhisper", analytics_enabled=False, fill_width=True) as page:
        run_id = gr.State("")  # of the race that every tab speaks about; "" before the first
        runner = Runner(pool, uploads, runs, machine, fair)
        header(page, pool, runner.turns, machine)
        with gr.Tabs(overflow_behavior="wrap"):
            with gr.Tab("Race"):
                race_tab(runner, examples, run_id)
                race_api(runner)
            with gr.Tab("Listen & diff") as tab:
                listen_tab(tab, runs, run_id)
            with gr.Tab("Where the time goes") as tab:
                timings_tab(tab, pool, runs, run_id)
            with gr.Tab("Components"):
                components_tab(pool, catalogue, machine)
                layers_section(pool, uploads, examples)
            with gr.Tab("Live"):
                live_tab(desk, uploads, examples)
            with gr.Tab("Use it") as tab:
                use_it_tab(tab, pool, machine, examples, runs, run_id, fair.limits)

        def leave(request: gr.Request) -> None:
            runner.leave(str(request.session_hash))

        page.unload(leave)
    return page.queue(api_open=False, max_size=MAX_EVENTS, default_concurrency_limit=1)


def serve_page(
    page: gr.Blocks,
    uploads: Uploads,
    examples: Sequence[Example],
    routes: Sequence[Route],
    fair: FairUse,
    *,
    host: str,
    port: int,
    share: bool = False,
) -> str:
    """Start the server in the background and return its address; with `share`, that of a tunnel to
    it through gradio.live, if there is one to be had.

    `launch`, never a mount: only `launch` arms gradio's check that a payload's file was uploaded.
    Raises `OSError` when the port is taken.
    """
    _, address, public_address = page.launch(
        server_name=host,
        server_port=port,
        prevent_thread_lock=True,
        quiet=True,
        share=share,
        show_error=False,
        ssr_mode=False,
        enable_monitoring=False,
        run_history=False,
        footer_links=[],
        mcp_server=False,
        max_file_size=f"{MAX_FILE_MB}mb",
        state_session_capacity=MAX_SESSIONS,
        allowed_paths=sorted({str(example.path.parent) for example in examples}),
        app_kwargs={
            "middleware": [Middleware(Perimeter, uploads=uploads.root, fair=fair)],
            "routes": list(routes),
        },
        theme=theme(),
        css=CSS,
        js=f"() => {{ {' '.join(f'({script})();' for script in _SCRIPTS)} }}",
    )
    return public_address or address
