"""Speaks HTTP to a running Penstock, for the commands of the user's side."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from penstock.errors import (
    Conflict,
    Forbidden,
    InvalidRequest,
    NotFound,
    PayloadTooLarge,
    PenstockError,
    Unauthorized,
    Unavailable,
)
from penstock.settings import DEFAULT_DATA, environment

DEFAULT_URL = "http://127.0.0.1:8000"

_LOCAL_HOSTS = {"127.0.0.1", "localhost", "::1"}
#: seconds; a large upload is answered only when it was stored
_TIMEOUT = httpx.Timeout(30.0, connect=5.0)
_UPLOAD_TIMEOUT = httpx.Timeout(300.0, connect=5.0)

_BY_STATUS: dict[int, type[PenstockError]] = {
    400: InvalidRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: PayloadTooLarge,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


class PenstockClient:
    """One Penstock as seen by one key. Use as a context manager.

    Every method raises the error of `penstock.errors` that fits the answer's status; `Unavailable` also when the
    server cannot be reached. Messages are one line, for people.
    """

    def __init__(self, url: str, key: str) -> None:
        if not url.startswith(("http://", "https://")):
            raise InvalidRequest(f"--url: '{url}' must begin with http:// or https://")
        self._url = url.rstrip("/").removesuffix("/v1")
        # a proxy of this machine's environment knows nothing of a server on this machine
        self._http = httpx.Client(
            base_url=self._url,
            headers={"Authorization": f"Bearer {key}"},
            timeout=_TIMEOUT,
            trust_env=not is_local(url),
        )

    def __enter__(self) -> "PenstockClient":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, path: str) -> dict[str, Any]:
        """One object."""
        return self._call("GET", path)

    def post(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Create something, or order something."""
        return self._call("POST", path, json=body or {})

    def delete(self, path: str) -> dict[str, Any]:
        """Remove something."""
        return self._call("DELETE", path)

    def upload(self, file: Path) -> dict[str, Any]:
        """Send a batch's input file; it is streamed, not read into memory."""
        with file.open("rb") as content:
            parts = {"file": (file.name, content, "application/jsonl")}
            return self._call("POST", "/v1/files", data={"purpose": "batch"}, files=parts, timeout=_UPLOAD_TIMEOUT)

    def download(self, file_id: str) -> Iterator[bytes]:
        """The content of a file, piece by piece."""
        return self._pieces(f"/v1/files/{file_id}/content")

    def lines(self, path: str) -> Iterator[bytes]:
        """Whole lines of an answer as they come, each with its line feed; empty ones are left out."""
        rest = b""
        for piece in self._pieces(path):
            *whole, rest = (rest + piece).split(b"\n")
            yield from (line + b"\n" for line in whole if line)

    def _pieces(self, path: str) -> Iterator[bytes]:
        with self._reached(), self._http.stream("GET", path) as answer:
            if answer.is_error:
                answer.read()
            self._check(answer)
            yield from answer.iter_bytes()

    def _call(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        with self._reached():
            answer = self._http.request(method, path, **options)
        self._check(answer)
        try:
            body = answer.json()
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise Unavailable(f"what answers at {self._url} is not Penstock")
        return body

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except httpx.TimeoutException:
            raise Unavailable(f"no answer in time from {self._url}") from None
        except (httpx.TransportError, httpx.InvalidURL) as error:
            reason = str(error) or type(error).__name__
            raise Unavailable(
                f"cannot reach Penstock at {self._url} ({reason}): start it with `penstock up`, or name another with"
                " --url or PENSTOCK_URL"
            ) from None

    def _check(self, answer: httpx.Response) -> None:
        if answer.is_success:
            return
        message = _message(answer)
        if answer.status_code == 401:
            message += " Give the key with --key or PENSTOCK_API_KEY."
        raise _BY_STATUS.get(answer.status_code, PenstockError)(message)


def connect(url: str | None, key: str | None, *, admin: bool = False) -> PenstockClient:
    """A client from the options of a command, and from the environment where they are left out.

    Without any key, the one that `penstock up` wrote into the data folder is used, for a server on this machine only.

    Raises:
        Unauthorized: there is no key to be found.
        InvalidRequest: the address is none.
    """
    address = url or environment("PENSTOCK_URL") or DEFAULT_URL
    names = ("PENSTOCK_API_KEY", "PENSTOCK_ADMIN_KEY")
    candidates = [key, *(environment(name) for name in (reversed(names) if admin else names))]
    if is_local(address):
        candidates.append(_key_of_this_machine())
    found = next((candidate for candidate in candidates if candidate), None)
    if found is None:
        raise Unauthorized(f"no API key: give one with --key, or set {names[1] if admin else names[0]}")
    if not found.isascii() or not found.isprintable():
        raise Unauthorized("the API key has characters that no key has")
    return PenstockClient(address, found)


def is_local(url: str) -> bool:
    """Whether an address is on this machine."""
    return urlsplit(url).hostname in _LOCAL_HOSTS


def _key_of_this_machine() -> str | None:
    try:
        return (Path(DEFAULT_DATA) / "admin_key").read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None


def _message(answer: httpx.Response) -> str:
    """What the error envelope says, on one line; else the status."""
    try:
        message = answer.json()["error"]["message"]
    except (ValueError, KeyError, TypeError):
        message = None
    if not isinstance(message, str) or not message:
        return f"the server answered {answer.status_code} {answer.reason_phrase}."
    return " ".join(message.split())
