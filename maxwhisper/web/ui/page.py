"""The page: header, tabs, and the server that serves them.

Input: `PageParts`, made by `app.py`. Output: a running server.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

import gradio as gr
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware

from maxwhisper import __version__
from maxwhisper.engines.pool import EnginePool
from maxwhisper.web.api.metrics import Counted, Metrics
from maxwhisper.web.api.routes import Api, api_routes
from maxwhisper.web.api.settings import ApiSettings
from maxwhisper.web.server.better_weights import BetterWeights
from maxwhisper.web.server.connections import ConnectionLimits
from maxwhisper.web.server.headers import SHARE_SCRIPTS, SPACE_FRAMES, Document, page_policy
from maxwhisper.web.server.live_desk import LiveDesk
from maxwhisper.web.server.live_routes import live_route
from maxwhisper.web.server.mcp import mcp_routes
from maxwhisper.web.server.news_routes import news_route
from maxwhisper.web.server.open_requests import OpenRequests
from maxwhisper.web.server.origins import OwnHosts
from maxwhisper.web.server.perimeter import Perimeter
from maxwhisper.web.server.queue import MAX_WAITING, VisitorQueue
from maxwhisper.web.server.readiness import ready_route
from maxwhisper.web.server.run_routes import run_routes
from maxwhisper.web.server.run_store import RunStore
from maxwhisper.web.server.upload_names import UploadNames
from maxwhisper.web.server.uploads import MAX_FILE_MB, Uploads
from maxwhisper.web.ui.components.layers import layers_section
from maxwhisper.web.ui.components.tab import Catalogue, components_tab
from maxwhisper.web.ui.examples import Example
from maxwhisper.web.ui.guarded_server import guarded_server
from maxwhisper.web.ui.header import header, standing
from maxwhisper.web.ui.listen.tab import listen_tab
from maxwhisper.web.ui.live.tab import live_tab
from maxwhisper.web.ui.race.api import ENDPOINTS, race_api
from maxwhisper.web.ui.race.runner import Runner
from maxwhisper.web.ui.race.tab import race_tab
from maxwhisper.web.ui.race.tools import ABOUT, agent_tools
from maxwhisper.web.ui.templates import page_source
from maxwhisper.web.ui.theme import head, style, theme
from maxwhisper.web.ui.timings.tab import timings_tab
from maxwhisper.web.ui.upload_route import upload_routes
from maxwhisper.web.ui.use_it.tab import About, use_it_tab
from maxwhisper.web.ui.weights import ShownWeights

# Threads for handlers. Everyone in the queue of the device, or of a download, has one of their own;
# the rest are for clicks and page loads, which take milliseconds.
MAX_THREADS = 2 * (MAX_WAITING + 1) + 54
SAME_CLICK = 8  # handlers of one event at a time, unless the event says otherwise
MAX_SESSIONS = 500  # sessions whose state Gradio keeps


@dataclass(frozen=True)
class PageParts:
    """Everything the page shows or uses."""

    pool: EnginePool
    examples: Sequence[Example]  # bundled clips
    catalogue: Catalogue  # checks of the Components tab
    uploads: Uploads
    machine: Mapping[str, Any]  # `maxwhisper.machine.describe()`
    runs: RunStore  # finished races
    desk: LiveDesk  # the live session
    queue: VisitorQueue  # for the device, with the limits per visitor
    weights: BetterWeights  # an official model for human speech
    connections: ConnectionLimits = field(default_factory=ConnectionLimits)
    api: ApiSettings = field(default_factory=ApiSettings)

    @cached_property
    def runner(self) -> Runner:
        """The one runner, for visitors and for agents."""
        return Runner(self.pool, self.uploads, self.runs, self.machine, self.queue)


def build_page(parts: PageParts) -> gr.Blocks:
    """Describe the page; nothing runs yet."""
    pool, machine, runs, examples = parts.pool, parts.machine, parts.runs, parts.examples
    limits = parts.queue.fair.limits
    with gr.Blocks(title="maxwhisper", analytics_enabled=False, fill_width=True) as page:
        run_id = gr.State("")  # the race that every tab shows; "" before the first race
        runner = parts.runner

        def described() -> dict[str, Any]:
            return dict(page.get_api_info()["named_endpoints"])

        weights = ShownWeights(parts.weights, pool)
        header(page, pool, runner.queue, machine, weights)
        with gr.Tabs(overflow_behavior="wrap"):
            with gr.Tab("Race"):
                open_run = race_tab(runner, examples, run_id, weights)
                race_api(runner, lambda session: _forget(page, session))
            with gr.Tab("Listen & diff") as tab:
                listen_tab(tab, runs, run_id, open_run)
            with gr.Tab("Where the time goes") as tab:
                timings_tab(tab, pool, runs, run_id, open_run)
            with gr.Tab("Components"):
                components_tab(pool, runner.queue, parts.catalogue, machine)
                layers_section(pool, runner.queue, parts.uploads, examples)
            with gr.Tab("Live") as tab:
                live_tab(tab, parts.desk, parts.uploads, examples, weights)
            with gr.Tab("Use it") as tab:
                kept = (runs.keep_days, runs.keep_runs)
                about = About(pool.models, machine, examples, *kept, limits, described)
                use_it_tab(tab, about, runs, run_id)

        def leave(request: gr.Request) -> None:
            runner.leave(str(request.session_hash))
            parts.desk.leave(str(request.session_hash))

        page.unload(leave)
    for event in page.fns.values():  # gradio lists those that fill a component at the start
        if event.api_name not in ENDPOINTS:
            event.api_visibility = "private"
    # No bound here: this queue is for every event of every visitor, page loads too. The perimeter
    # bounds the events of each visitor, and the queue of the device those that take long.
    return page.queue(api_open=False, max_size=None, default_concurrency_limit=SAME_CLICK)


def _forget(page: gr.Blocks, session: str) -> None:
    """Delete the state that gradio keeps of a session: 250 kB, for an hour after it was closed."""
    page.state_holder.session_data.pop(session, None)
    page.state_holder.time_last_used.pop(session, None)


def serve_page(
    page: gr.Blocks, parts: PageParts, *, host: str, port: int, share: bool = False
) -> str:
    """Start the server in the background and return its address. With `share`, return the address
    of a tunnel through gradio.live if Gradio could open one.

    Uses `launch` and not a mount, because only `launch` turns on Gradio's check that a file in a
    payload was uploaded. Raises `OSError` if the port is taken.
    """
    own = OwnHosts.from_environment(host, os.environ)
    frames = SPACE_FRAMES if "SPACE_ID" in os.environ else ()
    policy = page_policy(frames, scripts=(SHARE_SCRIPTS,) if share else ())

    metrics = Metrics(parts.pool, parts.queue)
    scripts = [page_source(name).strip() for name in ("page.js", "recorder.js")]
    middleware = [
        Middleware(Counted, metrics=metrics),
        Middleware(GZipMiddleware, compresslevel=4),  # neither sound nor streams of events
        Middleware(Document, policy=policy, head=head()),
        Middleware(OpenRequests, per_visitor=parts.connections.per_visitor),
        Middleware(Perimeter, uploads=parts.uploads.root, fair=parts.queue.fair),
        Middleware(UploadNames, root=parts.uploads.root),
    ]
    routes = [
        *api_routes(Api(parts.runner.transcriber, parts.api, metrics)),
        *run_routes(parts.runs),
        ready_route(parts.pool),
        live_route(parts.desk),
        news_route(
            lambda: standing(parts.pool, parts.queue, parts.weights),
            lambda: not page.is_running,
        ),
        *mcp_routes(
            agent_tools(parts.runner, parts.examples, parts.queue.fair), ABOUT, __version__
        ),
        *upload_routes(parts.uploads, lambda path: page.upload_file_set.add(path)),
    ]
    with guarded_server(own, policy, parts.connections):
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
            mcp_server=False,  # `server/mcp.py` serves the protocol, within the limits of visitors
            max_threads=MAX_THREADS,
            max_file_size=f"{MAX_FILE_MB}mb",
            state_session_capacity=MAX_SESSIONS,
            allowed_paths=sorted({str(example.path.parent) for example in parts.examples}),
            app_kwargs={"middleware": middleware, "routes": routes},
            theme=theme(),
            css=style(),
            js=f"() => {{ {' '.join(f'({script})();' for script in scripts)} }}",
        )
    if public_address:
        own.add(str(urlsplit(public_address).hostname))
    return public_address or address
