"""The receiver of the demo's webhooks: a plain HTTP server that keeps what it is sent, for `unwrap()` to verify."""

import queue
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from openai import InvalidWebhookSignatureError, OpenAI

from penstock.errors import PenstockError


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came: verification needs the very bytes."""

    headers: dict[str, str]
    body: bytes


class WebhookReceiver:
    """Listens on a free port of this machine. Use as a context manager."""

    def __init__(self) -> None:
        self._received: queue.SimpleQueue[Received] = queue.SimpleQueue()
        received = self._received

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers.get("content-length", 0))
                received.put(Received(dict(self.headers.items()), self.rfile.read(length)))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing: the terminal belongs to the progress bar."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/webhooks"

    def __enter__(self) -> "WebhookReceiver":
        threading.Thread(target=self._server.serve_forever, args=(0.1,), name="webhooks", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def wait_for(self, client: OpenAI, secret: str, event_type: str, object_id: str, seconds: float) -> str:
        """Wait for one event, verifying all that come before; returns its `webhook-id`.

        Raises:
            PenstockError: it did not come in time, or a signature is wrong.
        """
        deadline = time.monotonic() + seconds
        while True:
            try:
                received = self._received.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                message = f"no webhook {event_type} for {object_id} came within {seconds:.0f} s"
                raise PenstockError(message) from None
            try:
                event = client.webhooks.unwrap(received.body, received.headers, secret=secret).to_dict()
            except InvalidWebhookSignatureError as error:
                raise PenstockError(f"a webhook came whose signature is wrong: {error}") from error
            data = event.get("data")
            if event.get("type") == event_type and isinstance(data, dict) and data.get("id") == object_id:
                return {name.lower(): value for name, value in received.headers.items()}["webhook-id"]
