"""The Model Context Protocol on a small server; `ui/race/test_tools` has those of the page."""

import asyncio
import threading

import httpx
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from maxwhisper.web.server.mcp import ADDRESS, Tool, mcp_routes

N_CALLS = 45  # the server has 40 threads of its own


def test_calls_that_wait_leave_the_threads_that_open_the_page():
    done = threading.Event()
    running = threading.Semaphore(0)

    def wait(arguments, visitor):
        running.release()
        assert done.wait(30)
        yield {"visitor": visitor}

    def home(request):
        return PlainTextResponse("the page")

    tools = [Tool("wait", "Wait", "Waits.", {}, wait)]
    app = Starlette(routes=[Route("/", home), *mcp_routes(tools, "", "1")])
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "wait"}}

    async def visit():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://page") as client:
            calls = [
                asyncio.create_task(client.post(ADDRESS, json=message)) for _ in range(N_CALLS)
            ]
            try:
                for _ in range(100):
                    await asyncio.sleep(0.05)
                    if running._value >= 40:
                        break
                opened = await asyncio.wait_for(client.get("/"), 5)
            finally:
                done.set()
            return opened, await asyncio.gather(*calls)

    opened, answers = asyncio.run(visit())
    assert opened.text == "the page"
    assert all('"isError": false' in answer.text for answer in answers)
