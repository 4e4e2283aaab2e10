"""Ways for a connection to go wrong."""

import asyncio
import os
import socket
import struct
from typing import NoReturn

from aiohttp import web

#: SO_LINGER with a time of 0: closing sends a reset instead of an orderly end
_NO_LINGER = struct.pack("ii", 1, 0)


class ConnectionDroppedError(Exception):
    """Raised when the simulator dropped the client's connection on purpose: nobody is left to answer."""


async def hang() -> NoReturn:
    """Never return; the client's hanging up or the simulator's end cancels it."""
    await asyncio.Event().wait()
    raise AssertionError("an event that nobody sets was set")


def reset(request: web.Request) -> NoReturn:
    """Reset the connection.

    Raises:
        ConnectionDroppedError: always.
    """
    transport = request.transport
    if transport is not None:
        # A duplicate of the descriptor: the options belong to the connection, and the transport keeps its own.
        with socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno())) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        transport.abort()
    raise ConnectionDroppedError


def close(request: web.Request) -> None:
    """End the connection in order, after what was written went out."""
    if request.transport is not None:
        request.transport.close()
