"""The worst of providers: whatever it is asked, its answer quotes every header it was sent, keys included."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Echoing:
    """`url` is a base URL of OpenAI's wire format; `heard` is everything that was said to it."""

    url: str
    heard: list[str] = field(default_factory=list)


@contextmanager
def echoing() -> Iterator[Echoing]:
    """A prompt's last word says what goes wrong: an HTTP status, `stream`, `frame` or `garbage`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            said = json.dumps(dict(self.headers))
            found.heard.append(said)
            order = asked["messages"][-1]["content"].split()[-1]
            key = self.headers.get("authorization", "").partition(" ")[2]
            error = {
                "message": f"no: {said} {key}",
                "type": f"type {key}",
                "code": f"code {key}",
                "param": f"param {key}",
            }
            body = json.dumps({"error": error}).encode()
            if order.isdecimal():
                return self._send(int(order), "application/json", body)
            if order == "garbage":
                return self._send(200, "application/json", said.encode())
            start = {"id": "c", "object": "chat.completion.chunk", "model": "m", "created": 1}
            start["choices"] = [{"index": 0, "delta": {"role": "assistant", "content": "Hel"}, "finish_reason": None}]
            frames = b"data: " + json.dumps(start).encode() + b"\n\n"
            frames += b"data: " + (body if order == "frame" else said.encode()) + b"\n\n"
            return self._send(200, "text/event-stream", frames)

        def _send(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status, self.headers.get("authorization", "")[:60])
            self.send_header("content-type", kind)
            self.send_header("x-request-id", self.headers.get("authorization", ""))
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Echoing(f"http://127.0.0.1:{server.server_port}/v1")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield found
    server.shutdown()
    server.server_close()
