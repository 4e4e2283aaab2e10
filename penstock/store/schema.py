"""The schema's version: bring a database up to date, or say clearly that it is not.

Alembic is loaded only where there is something to migrate: with SQLAlchemy it would be a fifth of what a role imports
before it can serve.
"""

from functools import cache
from pathlib import Path

import psycopg

from penstock.errors import ConfigError, Unavailable

_MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"
#: any 64-bit number of our own: two migrations at once must queue, not collide
_MIGRATION_LOCK = 7_367_756_201


def migrate(url: str) -> tuple[str | None, str]:
    """Bring the schema up to date.

    Returns:
        The version before (None: an empty database) and the version now.

    Raises:
        ConfigError: the database was made by a newer Penstock.
        Unavailable: it does not answer.
    """
    before, head = _version_of(url), versions()[-1]
    _refuse_newer(before)
    if before != head:
        before = _upgrade(url)
    return before, head


def require_current(url: str) -> None:
    """Check that the database has the schema this code needs.

    Raises:
        ConfigError: it is older (says which command brings it up to date), newer, or empty.
        Unavailable: it does not answer, or is still starting.
    """
    current, head = _version_of(url), versions()[-1]
    _refuse_newer(current)
    if current != head:
        found = f"has schema version {current}" if current else "has no Penstock tables yet"
        raise ConfigError(f"the database {found}, this code needs {head}: run `penstock migrate`")


@cache
def versions() -> tuple[str, ...]:
    """Every version of the schema, oldest first: a migration's file is named `<version>_<what it does>.py`."""
    return tuple(sorted(file.name.partition("_")[0] for file in (_MIGRATIONS / "versions").glob("[0-9]*_*.py")))


def _version_of(url: str) -> str | None:
    """The version a database has, None when it has no table of ours."""
    _check_scheme(url)
    try:
        with psycopg.connect(url) as connection:
            if connection.execute("SELECT to_regclass('alembic_version')").fetchone() == (None,):
                return None
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except psycopg.OperationalError as error:
        raise Unavailable(f"The database cannot be reached: {error}") from error
    return str(row[0]) if row else None


def _upgrade(url: str) -> str | None:
    """Run what is missing in one transaction; return the version found, which another process may just have changed."""
    import sqlalchemy
    from alembic import command
    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext

    engine = sqlalchemy.create_engine(f"postgresql+psycopg://{url.partition('://')[2]}", poolclass=sqlalchemy.NullPool)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"))
        before = MigrationContext.configure(connection).get_current_revision()
        _refuse_newer(before)
        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    engine.dispose()
    return before


def _check_scheme(url: str) -> None:
    scheme = url.partition("://")[0]
    if scheme not in ("postgresql", "postgres"):
        raise ConfigError(f"the database URL must begin with postgresql://, not {scheme}://")


def _refuse_newer(current: str | None) -> None:
    if current is not None and current not in versions():
        raise ConfigError(
            f"the database has schema version {current}, which this code does not know (its newest is "
            f"{versions()[-1]}): it was written by a newer Penstock; upgrade the program"
        )
