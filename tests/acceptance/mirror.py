"""A provider of chat completions that keeps what it was asked, so that a test can see what a model was told.

It answers `ok`, thinks `hm` where the last message says `THINK`, and calls the tool `f` where that says `CALL`. Where
it says `HALVES`, a streamed `ok` is followed by a character of which each chunk holds one half.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_CALL = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
_HEAD = {"id": "c", "created": 1, "model": "mirror"}


@dataclass
class Mirror:
    """Its address, and every body it was sent."""

    url: str
    asked: list[dict[str, Any]] = field(default_factory=list)

    def told(self, words: str) -> dict[str, Any]:
        """The last request whose last message holds these words."""
        for body in reversed(self.asked):
            if words in json.dumps(body["messages"][-1], ensure_ascii=False):
                return body
        raise AssertionError(f"nobody asked {words!r}")


def _answer(last: str) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": "ok"}
    if "THINK" in last:
        message["reasoning_content"] = "hm"
    if "CALL" in last:
        message |= {"content": None, "tool_calls": [_CALL]}
    return message


@contextmanager
def mirroring() -> Iterator[Mirror]:
    """One that serves until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            mirror.asked.append(body)
            message = _answer(json.dumps(body["messages"][-1]))
            end = {"finish_reason": "tool_calls" if "tool_calls" in message else "stop"}
            usage = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
            if body.get("stream"):
                halves = ["\ud83d", "\udc69"] if "HALVES" in json.dumps(body["messages"][-1]) else []
                deltas = [message, *({"content": half} for half in halves)]
                choices = [{"index": 0, "delta": delta} for delta in deltas] + [{"index": 0, "delta": {}} | end]
                frames = [_HEAD | {"choices": [choice], "usage": usage} for choice in choices]
                text = "".join(f"data: {json.dumps(frame)}\n\n" for frame in frames) + "data: [DONE]\n\n"
                self._send(text, "text/event-stream")
            else:
                answer = _HEAD | {"choices": [{"index": 0, "message": message} | end], "usage": usage}
                self._send(json.dumps(answer), "application/json")

        def _send(self, text: str, kind: str) -> None:
            self.send_response(200)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    mirror = Mirror(f"http://127.0.0.1:{server.server_port}/v1")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield mirror
    server.shutdown()
    server.server_close()
