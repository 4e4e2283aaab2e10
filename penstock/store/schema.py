"""The schema's version: bring a database up to date, or say clearly that it is not."""

from pathlib import Path

import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from penstock.errors import ConfigError, Unavailable

#: any 64-bit number of our own: two migrations at once must queue, not collide
_MIGRATION_LOCK = 7_367_756_201


def _scripts() -> ScriptDirectory:
    return ScriptDirectory(str(Path(__file__).resolve().parents[2] / "migrations"))


def _engine(url: str) -> sqlalchemy.Engine:
    scheme, _, rest = url.partition("://")
    if scheme not in ("postgresql", "postgres"):
        raise ConfigError(f"the database URL must begin with postgresql://, not {scheme}://")
    return sqlalchemy.create_engine(f"postgresql+psycopg://{rest}", poolclass=sqlalchemy.NullPool)


def migrate(url: str) -> tuple[str | None, str]:
    """Bring the schema up to date.

    Returns:
        The version before (None: an empty database) and the version now.

    Raises:
        ConfigError: the database was made by a newer Penstock.
        Unavailable: it does not answer.
    """
    scripts = _scripts()
    head = scripts.get_current_head()
    assert head is not None  # the first migration always exists
    engine = _engine(url)
    try:
        engine.connect().close()
    except sqlalchemy.exc.OperationalError as error:
        raise Unavailable(f"The database cannot be reached: {error.orig}") from error
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"))
        before = MigrationContext.configure(connection).get_current_revision()
        _refuse_newer(scripts, before)
        if before != head:
            config = Config()
            config.set_main_option("script_location", scripts.dir)
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    engine.dispose()
    return before, head


def require_current(url: str) -> None:
    """Check that the database has the schema this code needs.

    Raises:
        ConfigError: it is older (says which command brings it up to date), newer, or empty.
        Unavailable: it does not answer, or is still starting.
    """
    scripts = _scripts()
    head = scripts.get_current_head()
    engine = _engine(url)
    try:
        with engine.connect() as connection:
            current = MigrationContext.configure(connection).get_current_revision()
    except sqlalchemy.exc.OperationalError as error:
        raise Unavailable(f"The database cannot be reached: {error.orig}") from error
    finally:
        engine.dispose()
    _refuse_newer(scripts, current)
    if current != head:
        found = f"has schema version {current}" if current else "has no Penstock tables yet"
        raise ConfigError(f"the database {found}, this code needs {head}: run `penstock migrate`")


def _refuse_newer(scripts: ScriptDirectory, current: str | None) -> None:
    known = {revision.revision for revision in scripts.walk_revisions()}
    if current is not None and current not in known:
        raise ConfigError(
            f"the database has schema version {current}, which this code does not know (its newest is "
            f"{scripts.get_current_head()}): it was written by a newer Penstock; upgrade the program"
        )
