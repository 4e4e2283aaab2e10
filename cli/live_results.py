"""Following a batch's results from a terminal: lines as they finish, through restarts of the server."""

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import quote

from cli.progress import TERMINAL
from penstock.errors import Unavailable

if TYPE_CHECKING:
    from cli.client import PenstockClient

#: seconds for which a server may be away without a new line having come: it may be restarting
_PATIENCE_SECONDS = 60.0
_RETRY_SECONDS = 1.0


def write(penstock: "PenstockClient", batch_id: str, output: Path | None, after: int) -> None:
    """Write the lines of a batch, from just after number `after` to its end, to a file or to stdout.

    A file is begun anew, unless `after` says that it has a beginning.

    Raises:
        Unavailable: the server stayed away; the message says where to go on.
    """
    if output is None:
        _follow(penstock, batch_id, after, sys.stdout.buffer)
        return
    with output.open("ab" if after else "wb") as file:
        _follow(penstock, batch_id, after, file)


def _follow(penstock: "PenstockClient", batch_id: str, after: int, output: BinaryIO) -> None:
    path = f"/v1/batches/{quote(batch_id, safe='')}"
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            for line in penstock.lines(f"{path}/results?follow=true&after={after}"):
                output.write(line)
                output.flush()
                after = json.loads(line)["number"]
                deadline = time.monotonic() + _PATIENCE_SECONDS
            if penstock.get(path)["status"] in TERMINAL:
                return
        except Unavailable as error:
            if time.monotonic() > deadline:
                raise Unavailable(f"{error.message} (--after {after} goes on from here)") from None
        time.sleep(_RETRY_SECONDS)
