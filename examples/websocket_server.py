"""Transcribe what WebSocket clients send: `python examples/websocket_server.py [model]`.

A client connects to ws://localhost:8000/?rate=48000 and sends binary messages of 16-bit
little-endian mono samples. It gets a JSON message for each: the words that are final, and the text
that may still change. An empty message ends the recording; the last answer is the transcript. Any
number of clients share one model. Needs starlette, uvicorn and websockets.
"""

import asyncio
import sys

import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

import maxwhisper


def app(model: maxwhisper.Whisper) -> Starlette:
    """The server of one model."""

    async def listen(socket: WebSocket) -> None:
        await socket.accept()
        try:
            rate = int(socket.query_params.get("rate", "16000"))
            stream = model.stream()
            while pcm := await socket.receive_bytes():
                update = await asyncio.to_thread(stream.feed, pcm, rate)  # others go on meanwhile
                await socket.send_json(update.to_dict())
            transcript = await asyncio.to_thread(stream.finish)
            await socket.send_json(transcript.to_dict())
        except WebSocketDisconnect:
            return
        except (ValueError, maxwhisper.MaxWhisperError) as error:
            await socket.send_json({"error": str(error)})
        await socket.close()

    return Starlette(routes=[WebSocketRoute("/", listen)])


if __name__ == "__main__":
    uvicorn.run(app(maxwhisper.load(*sys.argv[1:])), port=8000)
