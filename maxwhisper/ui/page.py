"""The whole page: header and tabs, and the one way it may be served.

In: engines, clips, checks, the machine's description. Out: a running server. `app.py` puts the
parts together.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from maxwhisper.serving.perimeter import Perimeter
from maxwhisper.serving.pool import EnginePool
from maxwhisper.serving.run_routes import run_routes
from maxwhisper.serving.runs import RunStore
from maxwhisper.serving.uploads import Uploads
from maxwhisper.ui.about import about_tab
from maxwhisper.ui.components import Catalogue, components_tab
from maxwhisper.ui.examples import Example
from maxwhisper.ui.header import header
from maxwhisper.ui.race import race_tab
from maxwhisper.ui.race_api import race_api
from maxwhisper.ui.race_run import Runner
from maxwhisper.ui.theme import CSS, theme

MAX_WAITING = 8  # events in the queue; the next visitor is told to come back
MAX_SESSIONS = 500  # whose state is remembered
# Browsers hide microphones from pages that are neither https nor local: the page then says so.
_SAY_INSECURE = """() => document.documentElement.style.setProperty(
    '--insecure-only', window.isSecureContext ? 'none' : 'block')"""


def build_page(
    pool: EnginePool,
    examples: Sequence[Example],
    catalogue: Catalogue,
    uploads: Uploads,
    machine: Mapping[str, Any],
    runs: RunStore,
) -> gr.Blocks:
    """Describe the page; nothing runs yet. `machine` is `maxwhisper.machine.describe()`, `runs`
    keeps finished races."""
    with gr.Blocks(title="maxwhisper", analytics_enabled=False, fill_width=True) as page:
        run_id = gr.State("")  # of the race that every tab speaks about; "" before the first
        header(pool, machine)
        with gr.Tabs():
            with gr.Tab("Race"):
                runner = Runner(pool, uploads, runs, machine)
                race_tab(runner, examples, run_id)
                race_api(runner)
            with gr.Tab("Components"):
                components_tab(pool, catalogue)
            with gr.Tab("About"):
                about_tab(pool, machine)
    return page.queue(api_open=False, max_size=MAX_WAITING, default_concurrency_limit=1)


def serve_page(
    page: gr.Blocks,
    uploads: Uploads,
    examples: Sequence[Example],
    runs: RunStore,
    *,
    host: str,
    port: int,
) -> str:
    """Start the server in the background and return its address.

    `launch`, never a mount: only `launch` arms gradio's check that a payload's file was uploaded.
    Raises `OSError` when the port is taken.
    """
    _, address, _ = page.launch(
        server_name=host,
        server_port=port,
        prevent_thread_lock=True,
        quiet=True,
        share=False,
        show_error=False,
        ssr_mode=False,
        enable_monitoring=False,
        run_history=False,
        footer_links=[],
        mcp_server=False,
        max_file_size="25mb",
        state_session_capacity=MAX_SESSIONS,
        allowed_paths=sorted({str(example.path.parent) for example in examples}),
        app_kwargs={
            "middleware": [Middleware(Perimeter, uploads=uploads.root)],
            "routes": run_routes(runs),
        },
        theme=theme(),
        css=CSS,
        js=_SAY_INSECURE,
    )
    return address
