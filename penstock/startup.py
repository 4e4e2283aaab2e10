"""What every role does before it starts: find its configuration and its servers, set up its logs.

Every command of the terminal passes through here, so what only roles use is imported where they use it.
"""

import logging
import os
import secrets
import socket
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import structlog
from pydantic import SecretStr

from penstock.embedded.urls import Urls, as_broker, find_running
from penstock.errors import ConfigError, PenstockError, Unavailable
from penstock.redaction import Redactor
from penstock.settings import DEFAULT_DATA, Settings, config_path, environment, load_config

#: in the data folder, where `penstock up` keeps what `PENSTOCK_SECRET_KEY` does not say
SECRET_KEY_FILE = "secret_key"  # noqa: S105 - a name
#: for so long a role that starts waits for a database that does not answer
_DATABASE_SECONDS = 60.0
_DATABASE_POLL = 1.0

_log = structlog.get_logger()


#: one for everything this process writes; it learns the secrets of the settings when they are read
_redactor = Redactor()


class _Redacted(logging.Formatter):
    """Lines of libraries, their tracebacks included, without secrets."""

    def format(self, record: logging.LogRecord) -> str:
        """The whole text of a record."""
        return _redactor.redact(super().format(record))


def _redacted(_logger: Any, _method: str, rendered: Any) -> str:
    """The last of structlog's processors: it gets the rendered line, and nothing is added after it."""
    return _redactor.redact(str(rendered))


def _last_words(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A traceback nobody caught, without secrets: libraries put addresses and values into their messages."""
    print(_redactor.redact("".join(traceback.format_exception(kind, error, trace))), end="", file=sys.stderr)  # noqa: T201


def configure_logs(*, verbose: bool = False) -> None:
    """One line an event, to standard error; secrets are taken out of each."""
    level = logging.DEBUG if verbose else logging.INFO
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Redacted("%(asctime)s [%(levelname)s] %(name)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    sys.excepthook = _last_words
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
            _redacted,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def data_folder(option: Path | None) -> Path:
    """The data folder, absolute."""
    return (option or Path(DEFAULT_DATA)).expanduser().resolve()


def role_settings(config: Path | None = None, data: Path | None = None, *, check_schema: bool = True) -> Settings:
    """The settings of a single role: servers by environment, else those of the embedded stack that runs here.

    Raises:
        ConfigError: the configuration is wrong, no server is known, or its schema is not this code's.
        Unavailable: the database did not answer for a minute.
    """
    parsed = load_config(config_path(config))
    urls = server_urls(data)
    if check_schema:
        _wait_for_schema(urls.database)
    admin_key = environment("PENSTOCK_ADMIN_KEY")
    settings = Settings(
        config=parsed,
        database_url=urls.database,
        redis_url=urls.redis,
        broker_url=urls.broker,
        admin_key=SecretStr(admin_key) if admin_key else None,
        secret_keys=secret_keys(),
    )
    _redactor.learn(settings.secrets())
    return settings


def _wait_for_schema(database_url: str) -> None:
    """Check the schema as soon as the database answers: a role that starts while it is restarted waits for it."""
    from penstock.store.schema import require_current

    deadline = time.monotonic() + _DATABASE_SECONDS
    while True:
        try:
            require_current(database_url)
            return
        except Unavailable as error:
            if time.monotonic() > deadline:
                raise
            _log.warning("waiting for the database", error=error.message[:200])
            time.sleep(_DATABASE_POLL)


def secret_keys() -> tuple[SecretStr, ...]:
    """The keys of `PENSTOCK_SECRET_KEY`, separated by commas.

    Raises:
        ConfigError: one is too short.
    """
    from penstock.webhooks.secrets import SecretKeys

    text = environment("PENSTOCK_SECRET_KEY") or ""
    keys = tuple(SecretStr(key.strip()) for key in text.split(",") if key.strip())
    SecretKeys(keys)  # refuses what it cannot use
    return keys


def kept_key(file: Path, prefix: str = "") -> str:
    """A key of our own making, kept in a file that only its owner reads; made when it is not there yet."""
    if not file.exists():
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as output:
            output.write(prefix + secrets.token_urlsafe(32))
    return file.read_text("utf-8").strip()


def secret_key_environment(data: Path) -> dict[str, str]:
    """`PENSTOCK_SECRET_KEY` as `penstock up` keeps it in its data folder; empty when it is set or there is none."""
    file = data / SECRET_KEY_FILE
    if environment("PENSTOCK_SECRET_KEY") or not file.exists():
        return {}
    return {"PENSTOCK_SECRET_KEY": file.read_text("utf-8").strip()}


def server_urls(data: Path | None = None) -> Urls:
    """Where database, Redis and broker are.

    Raises:
        ConfigError: neither the environment nor a running embedded stack says.
    """
    database, redis = environment("PENSTOCK_DATABASE_URL"), environment("PENSTOCK_REDIS_URL")
    broker = environment("PENSTOCK_BROKER_URL")
    if database is None or redis is None:
        running = find_running(data_folder(data))
        if running is None:
            raise ConfigError(
                f"no embedded stack runs on {data_folder(data)}: start one with `penstock up`, or set"
                " PENSTOCK_DATABASE_URL and PENSTOCK_REDIS_URL"
            )
        database, redis, broker = database or running.database, redis or running.redis, broker or running.broker
    return Urls(database, redis, broker or as_broker(redis))


def require_free_port(host: str, port: int, option: str) -> None:
    """Check that a port can be listened on.

    Raises:
        ConfigError: it is in use, or may not be used; the message names the option that changes it.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigError(
                f"cannot listen on {host}:{port} ({error.strerror}): choose another with {option}"
            ) from None


def run_role(main: Callable[[], None]) -> None:
    """Run a role's main; what an operator can mend is one line and exit code 1, not a traceback."""
    configure_logs()
    try:
        main()
    except PenstockError as error:
        print(f"penstock: {_redactor.redact(error.message)}", file=sys.stderr)  # noqa: T201 — a command's own answer
        sys.exit(1)
