"""The requests of a message batch: cut out of the body that brings them, checked, and read back. Pure.

The body is one JSON document of up to hundreds of megabytes, so it is never held whole. Each element of `requests` is
cut out as soon as its last byte came, checked, and given on as a line of JSONL; what is left of the document, with `{}`
in place of every element, is small and is parsed at the end. Whatever is wrong with the document shows in one of the
two: brackets are only counted here.
"""

import re
from collections.abc import Container
from dataclasses import dataclass
from typing import Any

import structlog

from penstock.completion import CompletionRequest
from penstock.completion.encoding import dumps, loads
from penstock.dialects import anthropic_messages
from penstock.dialects.fields import wrong_type, wrong_value
from penstock.errors import InvalidRequest, ModelNotFound, PayloadTooLarge, PenstockError
from penstock.submission.batch_file import MAX_LINE_BYTES, BatchLine, storable

#: what may stand beside and between the requests
MAX_FRAME_BYTES = 4 * 1024 * 1024
#: no prompt nests more deeply, and every JSON library must be able to read and write it
MAX_DEPTH = 250

_CUSTOM_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|["{}\[\]]', re.DOTALL)
_REST_OF_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_KEY = re.compile(rb'("(?:[^"\\]++|\\.)*+")\s*:\s*', re.DOTALL)
_QUOTE, _BACKSLASH = b'"\\'
_OPENING = frozenset(b"{[")
#: the depth inside the array `requests`
_ARRAY = 2

_log = structlog.get_logger()


class RequestCutter:
    """Give it the body piece by piece; the texts of the elements of `requests` come out, each when it is whole."""

    def __init__(self) -> None:
        #: the document without its elements
        self._frame = bytearray()
        #: the element that is not whole yet
        self._element = bytearray()
        #: the last bytes of a piece, if they mean nothing without the next
        self._carry = b""
        self._depth = 0
        self._in_string = False
        self._in_requests = False
        self._in_element = False
        #: where in the frame the last string of the outermost object begins: before a value, that is its key
        self._key_at = 0

    def feed(self, piece: bytes) -> list[bytes]:
        """The elements that ended in this piece.

        Raises:
            InvalidRequest: the document nests too deeply, or has too much beside its requests.
            PayloadTooLarge: one element is larger than `MAX_LINE_BYTES`.
        """
        data, self._carry = self._carry + piece, b""
        elements: list[bytes] = []
        place = kept = 0
        while True:
            if self._in_string:
                place = _REST_OF_STRING.match(data, place).end()  # type: ignore[union-attr]  # it matches nothing too
                if place == len(data):
                    break
                if data[place] == _BACKSLASH:
                    data, self._carry = data[:place], data[place:]
                    break
                self._in_string = False
                place += 1
            token = _TOKEN.search(data, place)
            if token is None:
                break
            start, place = token.span()
            first = data[start]
            if first == _QUOTE:
                self._in_string = place == start + 1
                if self._depth == 1:
                    self._key_at = len(self._frame) + start - kept
            elif first in _OPENING:
                kept = self._open(data, kept, start)
            else:
                kept = self._close(data, kept, place, elements)
        self._keep(data[kept:])
        return elements

    def end(self) -> Any:
        """What the document is, each element that was cut out an empty object.

        Raises:
            InvalidRequest: it is not JSON.
        """
        if self._in_element or self._in_string:
            raise _not_json()
        try:
            return loads(bytes(self._frame))
        except ValueError:
            raise _not_json() from None

    def _open(self, data: bytes, kept: int, start: int) -> int:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise InvalidRequest(f"The JSON body of your request is nested more than {MAX_DEPTH} levels deep.")
        if self._depth == _ARRAY:
            self._keep(data[kept:start])
            self._in_requests = data[start : start + 1] == b"[" and self._key() == "requests"
            return start
        if self._depth == _ARRAY + 1 and self._in_requests and data[start : start + 1] == b"{":
            self._keep(data[kept:start])
            self._frame += b"{}"
            self._in_element = True
            return start
        return kept

    def _close(self, data: bytes, kept: int, end: int, elements: list[bytes]) -> int:
        self._depth -= 1
        if self._depth < _ARRAY:
            self._in_requests = False
        if self._in_element and self._depth == _ARRAY:
            self._keep(data[kept:end])
            elements.append(bytes(self._element))
            self._element.clear()
            self._in_element = False
            return end
        return kept

    def _keep(self, data: bytes) -> None:
        if self._in_element:
            self._element += data
            if len(self._element) > MAX_LINE_BYTES:
                raise PayloadTooLarge(f"One of the requests is larger than the limit of {MAX_LINE_BYTES} bytes.")
        else:
            self._frame += data
            if len(self._frame) > MAX_FRAME_BYTES:
                raise InvalidRequest(f"The body has more than {MAX_FRAME_BYTES} bytes beside its requests.")

    def _key(self) -> Any:
        """The key of the value that begins at the end of the frame, None where there is no key."""
        found = _KEY.fullmatch(self._frame, self._key_at)
        try:
            return loads(found[1]) if found else None
        except ValueError:
            return None


class MessageRequests:
    """The body of a message batch as lines of a file, checked as they come (contract §14.1)."""

    def __init__(self, max_requests: int, max_bytes: int) -> None:
        self._max_requests = max_requests
        self._max_bytes = max_bytes
        self._bytes = 0
        self._cutter = RequestCutter()
        self._custom_ids: set[str] = set()

    def feed(self, piece: bytes) -> bytes:
        """The lines of the requests that ended in this piece.

        Raises:
            InvalidRequest: something is wrong that sinks the whole batch; `param` names it.
            PayloadTooLarge: the body, or one request in it, is too large.
        """
        self._bytes += len(piece)
        if self._bytes > self._max_bytes:
            raise PayloadTooLarge(f"The request is larger than the limit of {self._max_bytes} bytes.")
        return b"".join([self._line(element) for element in self._cutter.feed(piece)])

    def end(self) -> int:
        """How many requests there were.

        Raises:
            InvalidRequest: the body is not what it should be; `param` names what is wrong.
        """
        body = self._cutter.end()
        if not isinstance(body, dict):
            raise InvalidRequest("The JSON body of your request must be an object.")
        requests = body.get("requests")
        if requests is None:
            raise InvalidRequest("Missing required parameter: 'requests'.", param="requests")
        if not isinstance(requests, list):
            raise wrong_type("requests", "an array")
        for index, element in enumerate(requests):
            if not isinstance(element, dict):
                raise wrong_type(f"requests[{index}]", "an object")
        if len(requests) != len(self._custom_ids):
            raise wrong_value("requests", "the field is there more than once.")
        if not requests:
            raise wrong_value("requests", "it is empty.")
        return len(requests)

    def _line(self, element: bytes) -> bytes:
        at = f"requests[{len(self._custom_ids)}]"
        if len(self._custom_ids) >= self._max_requests:
            raise wrong_value("requests", f"a batch may hold {self._max_requests} of them.")
        try:
            value = loads(element)
        except ValueError:
            raise _not_json() from None
        for name in ("custom_id", "params"):
            if value.get(name) is None:
                raise InvalidRequest(f"Missing required parameter: '{at}.{name}'.", param=f"{at}.{name}")
        custom_id = value["custom_id"]
        if not isinstance(custom_id, str):
            raise wrong_type(f"{at}.custom_id", "a string")
        if not _CUSTOM_ID.fullmatch(custom_id):
            raise wrong_value(f"{at}.custom_id", "it must be 1 to 64 letters, digits, '_' or '-'.")
        if custom_id in self._custom_ids:
            raise wrong_value(f"{at}.custom_id", f"'{custom_id}' is the custom_id of an earlier request.")
        if not isinstance(value["params"], dict):
            raise wrong_type(f"{at}.params", "an object")
        self._custom_ids.add(custom_id)
        # JSON has line feeds between its tokens only: inside a string they must be escaped
        return element.replace(b"\n", b" ").replace(b"\r", b" ") + b"\n"


@dataclass(frozen=True, slots=True)
class RefusedLine:
    """A request that cannot run; `error` is what it is told. `model` is empty where it names none that can be kept."""

    number: int
    custom_id: str
    model: str
    raw: bytes
    error: PenstockError


def read_request(number: int, text: bytes, models: Container[str]) -> BatchLine | RefusedLine:
    """A line that `MessageRequests` wrote, or why its request cannot run."""
    value = loads(text)
    custom_id, params = value["custom_id"], value["params"]
    try:
        raw = dumps(params)
    except ValueError:
        wrong = InvalidRequest("The request holds a number that is out of range.")
        return RefusedLine(number, custom_id, _model(params), b"{}", wrong)
    try:
        request = _parsed(params, models)
    except PenstockError as error:
        return RefusedLine(number, custom_id, _model(params), raw, error)
    except Exception as error:  # noqa: BLE001 — a fault of ours must fail this line alone, and be seen
        _log.exception("a request met a fault of Penstock's own", custom_id=custom_id)
        fault = PenstockError(f"Internal error ({type(error).__name__}).")
        return RefusedLine(number, custom_id, _model(params), raw, fault)
    return BatchLine(number, custom_id, request.model, request.fallback, params, raw)


def _parsed(params: dict[str, Any], models: Container[str]) -> CompletionRequest:
    request = anthropic_messages.parse(params)
    for place, name in enumerate((request.model, *request.fallback)):
        if name not in models:
            raise ModelNotFound(name, param=f"fallback[{place - 1}]" if place else "model")
    return request


def _model(params: dict[str, Any]) -> str:
    name = params.get("model")
    return name if isinstance(name, str) and storable(name) else ""


def _not_json() -> InvalidRequest:
    return InvalidRequest("We could not parse the JSON body of your request.")
