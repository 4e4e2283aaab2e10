"""Data folders for real servers. One `initdb` serves all: the others are copies of its folder."""

import asyncio
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.embedded.stack import EmbeddedStack
from penstock.embedded.supervisor import Supervisor


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, and open to the account the servers run as when we are root; pytest's own folder is neither."""
    yield from _folder()


@pytest.fixture(scope="session")
def made_once() -> Iterator[Path]:
    async def start_and_stop(data: Path) -> None:
        with EmbeddedStack(data) as stack:
            async with Supervisor(data) as supervisor:
                await stack.start(supervisor)

    for folder in _folder():
        asyncio.run(start_and_stop(folder / "data"))
        yield folder / "data"


@pytest.fixture
def data(folder: Path, made_once: Path) -> Path:
    """A data folder with a database in it, not running."""
    _copy(made_once, folder / "data")
    return folder / "data"


@pytest.fixture
def long_path(folder: Path, made_once: Path) -> Path:
    """A data folder too deep for a socket, with characters that a list of settings would split at."""
    data = folder / ("long" * 30) / "with a space, and a comma"
    data.parent.mkdir()
    _copy(made_once, data)
    return data


def _copy(source: Path, target: Path) -> None:
    """With owners and modes."""
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)


def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="stack-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)
