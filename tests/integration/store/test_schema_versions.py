"""The version of a schema: told without Alembic, as Alembic has it, and refused where it is not this code's."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from alembic.script import ScriptDirectory
from servers import Servers

from penstock.errors import ConfigError, Unavailable
from penstock.store.schema import migrate, require_current, versions

MIGRATIONS = Path(__file__).resolve().parents[3] / "migrations"


@pytest.fixture
def empty(embedded_servers: Servers) -> Iterator[str]:
    url = embedded_servers.empty_database()
    yield url
    embedded_servers.drop_database(url)


def test_files_are_named_after_the_versions_in_them() -> None:
    scripts = ScriptDirectory(str(MIGRATIONS))
    assert [one.revision for one in scripts.walk_revisions()] == list(reversed(versions()))
    assert scripts.get_current_head() == versions()[-1]


def test_an_empty_database_is_brought_up_to_date_once(empty: str) -> None:
    with pytest.raises(ConfigError, match=r"has no Penstock tables yet, this code needs .*: run `penstock migrate`"):
        require_current(empty)
    assert migrate(empty) == (None, versions()[-1])
    assert migrate(empty) == (versions()[-1], versions()[-1])
    require_current(empty)


@pytest.mark.parametrize(("version", "said"), [("0001", "has schema version 0001"), ("9999", "a newer Penstock")])
def test_another_version_is_refused_by_name(empty: str, version: str, said: str) -> None:
    migrate(empty)
    with psycopg.connect(empty, autocommit=True) as connection:
        connection.execute("UPDATE alembic_version SET version_num = %s", (version,))
    with pytest.raises(ConfigError, match=said):
        require_current(empty)


def test_what_is_no_address_of_a_database_and_what_does_not_answer(tmp_path: Path) -> None:
    for ask in (migrate, require_current):
        with pytest.raises(ConfigError, match="must begin with postgresql://, not mysql://"):
            ask("mysql://here/penstock")
        with pytest.raises(Unavailable, match="cannot be reached"):
            ask(f"postgresql://postgres@/penstock?host={tmp_path}")
