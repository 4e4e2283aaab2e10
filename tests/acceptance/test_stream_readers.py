"""Readers that dawdle, stand still or vanish: nobody else notices, and whoever goes on reading gets all of it."""

import socket
import struct
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import openai
from acceptance.conftest import KEY, Stack
from acceptance.test_responses import numbered, wait

#: some 700 kB of events: more than the buffers between the API and a reader that stands still
TOKENS = 3_000


class RawReader:
    """A connection that asks for a stream and reads only when told to, with a small buffer."""

    def __init__(self, stack: Stack, response_id: str) -> None:
        where = urlsplit(stack.url)
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.settimeout(60)
        self._socket.connect((where.hostname, where.port))
        path = f"/v1/responses/{response_id}?stream=true"
        request = (
            f"GET {path} HTTP/1.1\r\nhost: {where.netloc}\r\nauthorization: Bearer {KEY}\r\nconnection: close\r\n\r\n"
        )
        self._socket.sendall(request.encode())
        self.head = self._socket.recv(256)

    def vanish(self) -> None:
        """Reset the connection, as a machine does that lost its power."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def rest(self) -> bytes:
        """Everything up to the end."""
        found = bytearray(self.head)
        while chunk := self._socket.recv(65536):
            found += chunk
        self._socket.close()
        return bytes(found)


def test_slow_and_vanishing_readers_disturb_nobody(client: openai.OpenAI, stack: Stack):
    response = client.responses.create(model="fast", input=f"[[tokens: {TOKENS}]]", background=True)
    with ThreadPoolExecutor(8) as pool:
        ordinary = [
            pool.submit(lambda: numbered(client.responses.retrieve(response.id, stream=True))) for _ in range(6)
        ]
        still = [RawReader(stack, response.id) for _ in range(10)]
        for _ in range(30):
            RawReader(stack, response.id).vanish()
        seen = [reading.result(120) for reading in ordinary]
    ended = wait(client, response.id)
    assert ended.status == "completed"
    assert all(one == seen[0] for one in seen)
    assert [number for number, _ in seen[0]] == list(range(len(seen[0])))
    for reader in still[5:]:
        reader.vanish()
    for reader in still[:5]:
        stream = reader.rest()
        assert stream.count(b"event: response.output_text.delta\n") == TOKENS
        assert b"event: response.completed\n" in stream
    assert numbered(client.responses.retrieve(response.id, stream=True)) == seen[0]
