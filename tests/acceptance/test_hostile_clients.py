"""Clients that send too much, too slowly or not at all: the connection ends, with an error in the dialect's envelope.

No times are asserted, only that an end comes; the limits of this stack are small, so that it comes soon.
"""

import http.client
import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from acceptance.conftest import CONFIG, KEY, Stack, running
from acceptance.test_tenant_isolation import ROUTES, Public

LIMITS = """
http:
  max_header_bytes: 4096
  max_headers: 30
  max_query_parameters: 10
  max_body_bytes: 100000
  header_seconds: 1
  body_seconds: 1
  body_bytes_per_second: 10000
  unread_seconds: 1
batches: {{max_upload_bytes: 100000, max_message_bytes: 100000}}
"""
AUTH = f"Authorization: Bearer {KEY}\r\n"
#: far longer than any limit here
PATIENCE = 60


@pytest.fixture(scope="module")
def strict() -> Iterator[Stack]:
    with running({}, workers=1, config_text=CONFIG + LIMITS) as found:
        yield found


@contextmanager
def connected(stack: Stack) -> Iterator[socket.socket]:
    address = urlsplit(stack.url)
    with socket.create_connection((address.hostname, address.port), timeout=PATIENCE) as made:
        yield made


def rest(connection: socket.socket) -> bytes:
    """All that comes until the server closes; a connection that is not closed fails the test."""
    said = b""
    try:
        while piece := connection.recv(65536):
            said += piece
    except ConnectionResetError:
        pass  # closed while we were still sending
    return said


def dripped(connection: socket.socket, piece: bytes) -> bytes:
    """Send the piece again and again, slowly, until the server ends the connection; what it said."""
    deadline = time.monotonic() + PATIENCE
    connection.settimeout(0.1)
    said = b""
    while time.monotonic() < deadline:
        try:
            connection.sendall(piece)
            found = connection.recv(65536)
        except TimeoutError:
            continue
        except (BrokenPipeError, ConnectionResetError):
            return said
        if not found:
            return said
        said += found
    raise AssertionError("the connection was kept")


def read(said: bytes) -> tuple[int, dict[str, str], Any]:
    """Status, headers and JSON body of one whole answer."""
    head, _, body = said.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    return int(first.split()[1]), headers, json.loads(body)


def assert_refused(said: bytes, status: int, *, anthropic: bool = False) -> None:
    found, headers, body = read(said)
    assert found == status
    assert headers["x-request-id"].startswith("req_")
    assert headers["connection"] == "close"
    if anthropic:
        assert (body["type"], body["error"]["type"]) == ("error", "invalid_request_error")
        assert body["request_id"] == headers["request-id"]
    else:
        assert set(body["error"]) == {"message", "type", "param", "code"}


def test_a_connection_that_says_nothing_is_closed(strict: Stack):
    with connected(strict) as connection:
        assert rest(connection) == b""


def test_a_header_that_does_not_end_is_given_up(strict: Stack):
    with connected(strict) as connection:
        connection.sendall(b"GET /v1/models HTTP/1.1\r\nHost: x\r\n")
        assert_refused(dripped(connection, b"X-a: b\r\n"), 408)
    with connected(strict) as connection:
        connection.sendall(b"POST /v1/messages HTTP/1.1\r\nHost: x\r\n")
        assert_refused(rest(connection), 408, anthropic=True)


def test_blank_lines_do_not_keep_a_connection(strict: Stack):
    with connected(strict) as connection:
        dripped(connection, b"\r\n")
    with connected(strict) as connection:
        connection.sendall(f"GET /v1/models HTTP/1.1\r\nHost: x\r\n{AUTH}\r\n".encode())
        assert dripped(connection, b"\r\n").startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/files", "/v1/messages", "/v1/messages/batches"])
@pytest.mark.parametrize("framing", ["Content-Length: 90000", "Transfer-Encoding: chunked"])
def test_a_body_that_does_not_end_is_given_up(strict: Stack, path: str, framing: str):
    kind = "multipart/form-data; boundary=x" if path == "/v1/files" else "application/json"
    with connected(strict) as connection:
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\n{AUTH}Content-Type: {kind}\r\n{framing}\r\n\r\n"
        opening = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        opening = opening if path == "/v1/files" else b"{"
        chunk = b"%x\r\n%b\r\n" % (len(opening), opening)
        connection.sendall(head.encode() + (opening if framing.startswith("Content") else chunk))
        piece = b" " if framing.startswith("Content") else b"1\r\n \r\n"
        assert_refused(dripped(connection, piece), 408, anthropic=path.startswith("/v1/messages"))


def test_a_body_after_the_answer_does_not_keep_a_connection(strict: Stack):
    """Refused for its key, the client goes on sending: the answer came, and then the connection ends."""
    with connected(strict) as connection:
        connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 90000\r\n\r\n")
        assert dripped(connection, b" ").startswith(b"HTTP/1.1 401")


def test_a_body_that_comes_steadily_is_taken_however_long_it_takes(strict: Stack):
    """Twice the time a body may take, but at the rate that earns it."""
    body = json.dumps({"model": "fast", "messages": [{"role": "user", "content": "hi" + " " * 60000}]}).encode()
    with connected(strict) as connection:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n{AUTH}Content-Length: {len(body)}\r\n"
        connection.sendall(head.encode() + b"Connection: close\r\n\r\n")
        for start in range(0, len(body), 6000):
            connection.sendall(body[start : start + 6000])
            time.sleep(0.2)
        assert read(rest(connection))[0] in (200, 400)  # more than the model's context, or not


def test_an_answer_that_nobody_reads_is_given_up(strict: Stack):
    """Many answers are asked for and none is read: sooner or later nothing can be written any more."""
    with connected(strict) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(0.2)
        one = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
        deadline = time.monotonic() + PATIENCE
        with pytest.raises((BrokenPipeError, ConnectionResetError)):  # noqa: PT012 — one of these sends fails
            while time.monotonic() < deadline:
                try:
                    connection.sendall(one)
                except TimeoutError:
                    time.sleep(0.2)


def asked(stack: Stack, method: str, path: str, headers: list[tuple[str, str]]) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(urlsplit(stack.url).netloc, timeout=PATIENCE)
    connection.putrequest(method, path)
    for name, value in [("Authorization", f"Bearer {KEY}"), *headers]:
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    found = answer.status, json.loads(answer.read())
    connection.close()
    return found


def test_headers_are_limited_in_size_and_number(strict: Stack):
    for headers in ([("X-Long", "a" * 5000)], [(f"X-{number}", "1") for number in range(31)]):
        status, body = asked(strict, "GET", "/v1/models", headers)
        assert (status, body["error"]["type"]) == (431, "invalid_request_error")
        status, body = asked(strict, "GET", "/v1/messages/batches", headers)
        assert (status, body["type"]) == (431, "error")
    assert asked(strict, "GET", "/v1/models", [(f"X-{number}", "1") for number in range(20)])[0] == 200


def test_a_header_without_end_is_not_kept_in_memory(strict: Stack):
    with connected(strict) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nX-Long: ")
        try:
            for _ in range(1000):
                connection.sendall(b"a" * 1000)
        except (BrokenPipeError, ConnectionResetError):
            return
        assert_refused(rest(connection), 431)


def test_a_long_path_and_many_parameters_are_refused(strict: Stack):
    assert asked(strict, "GET", "/v1/files?" + "&".join(f"a{number}=1" for number in range(11)), [])[0] == 400
    assert asked(strict, "GET", "/v1/files?limit=1&" + "&".join(f"a{number}=1" for number in range(9)), [])[0] == 200


@pytest.mark.parametrize("garbage", [b"\x16\x03\x01\x02\x00\x01", b"HELO x\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"])
def test_what_is_not_http_gets_the_envelope(strict: Stack, garbage: bytes):
    with connected(strict) as connection:
        connection.sendall(garbage)
        assert_refused(rest(connection), 400)


@pytest.mark.parametrize(
    "route", [row for row, case in ROUTES.items() if row[0] != "GET" and not isinstance(case, Public)]
)
def test_no_route_takes_a_body_without_end(strict: Stack, route: tuple[str, str]):
    """Chunked, so that no length is declared: it is refused, or an answer comes that did not need it."""
    method, path = route
    connection = http.client.HTTPConnection(urlsplit(strict.url).netloc, timeout=PATIENCE)
    kind = "multipart/form-data; boundary=x" if path == "/v1/files" else "application/json"
    headers = {"authorization": "Bearer sk-admin-key", "content-type": kind}
    part = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' if path == "/v1/files" else b"{"
    pieces = [part, *[b" " * 10_000] * 400]
    try:
        connection.request(method, path, iter(pieces), headers, encode_chunked=True)
    except (BrokenPipeError, ConnectionResetError):
        return  # closed before we were through
    answer = connection.getresponse()
    assert 400 <= answer.status < 500, answer.read()
    connection.close()
