"""Data folders for real servers. One `initdb` serves all: these are copies of its folder."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import copy_made


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, and open to the account the servers run as when we are root; pytest's own folder is neither."""
    folder = Path(tempfile.mkdtemp(prefix="stack-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def data(folder: Path) -> Path:
    """A data folder with a database in it, not running."""
    copy_made(folder / "data")
    return folder / "data"


@pytest.fixture
def long_path(folder: Path) -> Path:
    """A data folder too deep for a socket, with characters that a list of settings would split at."""
    data = folder / ("long" * 30) / "with a space, and a comma"
    data.parent.mkdir()
    copy_made(data)
    return data
