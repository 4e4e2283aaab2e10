"""The data folder of an embedded stack: its lock, the account its servers run as, the short folder of their sockets.

<data>/lock            held by the one running stack
<data>/postgres        the database
<data>/run             the sockets; a link to a folder under the system's temporary one where this path is too long
<data>/logs            output of the roles; postgres.log and valkey.log stand beside it
<data>/stack.json      the addresses of the running stack
"""

import fcntl
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock.errors import ConfigError

#: a socket's path has at most 107 bytes (103 on macOS); this leaves room for the longest name in the folder
_LONGEST_RUN = 80
#: what a connection string, a comma-separated server setting and a broker URL all take without escapes
_PLAIN = re.compile(r"[A-Za-z0-9_./-]+")
_FIRST_UNREACHABLE = 'for path; do [ -x "$path" ] || { printf %s "$path"; exit 1; }; done'


@dataclass(frozen=True, slots=True)
class Account:
    """An unprivileged user to run as, when we are root."""

    uid: int
    gid: int
    name: str


class DataFolder:
    """The data folder, made if missing and locked for this process.

    Raises:
        ConfigError: it cannot be made or written, or another stack is running on it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()
        try:
            _make(self.path)
            self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise ConfigError(f"{self.path}: cannot be used as data folder: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise ConfigError(
                f"{self.path}: another Penstock is running on this data folder. Stop it, or give another --data."
            ) from None
        except OSError as error:
            os.close(self._lock)
            raise ConfigError(f"{self.path}: this file system cannot lock files: {error.strerror}") from error
        self.path = self.path.resolve()
        self.account = _account(self.path / "postgres")
        self._run: Path | None = None

    @property
    def run(self) -> Path:
        """The folder of the sockets, private to the servers' account; made at the first use.

        Raises:
            ConfigError: no folder with a path short enough can be made.
        """
        if self._run is None:
            try:
                self._run = self._make_run()
            except OSError as error:
                raise ConfigError(f"{self.path / 'run'}: cannot be made anew: {error.strerror}") from error
        return self._run

    def close(self) -> None:
        """Remove the sockets and let go of the lock; only after the servers have stopped."""
        if self._run is not None:
            shutil.rmtree(self._run)
            with suppress(FileNotFoundError):
                (self.path / "run").unlink()
            self._run = None
        os.close(self._lock)

    def give(self, path: Path) -> None:
        """Make a file or folder, with all that is in it, the property of the servers' account."""
        if self.account is None:
            return
        for folder, _, names in os.walk(path):
            for each in (folder, *(os.path.join(folder, name) for name in names)):
                os.chown(each, self.account.uid, self.account.gid, follow_symlinks=False)

    def check_reachable(self, binary: Path) -> None:
        """Make sure that the servers' account can enter the data folder and run the binary.

        Raises:
            ConfigError: it cannot; the message names the folder in the way.
        """
        if self.account is None:
            return
        paths: Sequence[Path] = [*reversed(self.path.parents), self.path, *reversed(binary.parents), binary]
        command = ["/bin/sh", "-c", _FIRST_UNREACHABLE, "sh", *map(str, paths)]
        try:
            found = subprocess.run(
                command, cwd="/", capture_output=True, text=True, check=False, **_identity(self.account)
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise ConfigError(
                f"PostgreSQL does not run as root, and root cannot become the user {self.account.name} here: {error}. "
                "Run Penstock as an ordinary user, or set PENSTOCK_DATABASE_URL and PENSTOCK_REDIS_URL."
            ) from error
        if found.returncode:
            raise ConfigError(
                f"{found.stdout}: the user {self.account.name} may not enter it. PostgreSQL does not run as root, so "
                f"the embedded servers run as {self.account.name}. Allow it (chmod o+x), give another --data (such as "
                "/var/lib/penstock), run Penstock as an ordinary user, or set PENSTOCK_DATABASE_URL."
            )

    def run_as_account(self, command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end as the servers' account, with nothing of our environment."""
        return subprocess.run(
            command,
            cwd="/",
            env=SERVER_ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            **(_identity(self.account) if self.account else {}),
        )

    def _make_run(self) -> Path:
        here = self.path / "run"
        if here.is_symlink():  # left by a stack that was killed
            target = Path(os.readlink(here))
            here.unlink()
            if _ours(target, self.account):
                _clear(target)
        if _short(here):
            _clear(here)
            folder = here
            folder.mkdir(mode=0o700)
        else:
            folder = Path(tempfile.mkdtemp(prefix="penstock-"))
            if not _short(folder):
                folder.rmdir()
                raise ConfigError(
                    f"{folder.parent}: a socket in this temporary folder would have too long a path. "
                    "Give a shorter --data, or set TMPDIR to a shorter path."
                )
            here.symlink_to(folder)
        self.give(folder)
        return folder


#: what the servers are started with: nothing of the caller's PG… or locale variables may change what they do
SERVER_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def _make(path: Path) -> None:
    if path.is_dir():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(exist_ok=True)
    path.chmod(0o711 if os.geteuid() == 0 else 0o700)  # the servers' account passes through, and sees nothing


def _account(database: Path) -> Account | None:
    """Whom to run as: nobody in particular unless we are root; then the database's owner, or `nobody` for a new one."""
    if os.geteuid() != 0:
        return None
    with suppress(FileNotFoundError):
        owner = database.stat()
        if owner.st_uid != 0:
            return Account(owner.st_uid, owner.st_gid, f"of uid {owner.st_uid}, who owns {database},")
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        raise ConfigError(
            "PostgreSQL does not run as root, and this system has no user `nobody`. "
            "Run Penstock as an ordinary user, or set PENSTOCK_DATABASE_URL and PENSTOCK_REDIS_URL."
        ) from None
    return Account(entry.pw_uid, entry.pw_gid, "nobody")


def _clear(folder: Path) -> None:
    """Remove a folder, if it is there; servers of a killed stack may still be removing their sockets in it."""
    while folder.exists():
        with suppress(FileNotFoundError):
            shutil.rmtree(folder)


def _identity(account: Account) -> dict[str, Any]:
    return {"user": account.uid, "group": account.gid, "extra_groups": []}


def _short(folder: Path) -> bool:
    return len(os.fsencode(folder)) <= _LONGEST_RUN and _PLAIN.fullmatch(str(folder)) is not None


def _ours(folder: Path, account: Account | None) -> bool:
    """Whether this is a folder that an earlier start of ours made, and not what somebody put in its place."""
    try:
        found = folder.lstat()
    except FileNotFoundError:
        return False
    uid = account.uid if account else os.geteuid()
    return folder.name.startswith("penstock-") and found.st_mode & 0o170777 == 0o040700 and found.st_uid == uid
