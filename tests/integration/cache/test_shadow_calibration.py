"""Thresholds from shadowed traffic: what was noted in a real Postgres becomes a calibration."""

import asyncio
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from penstock.cache import calibration
from penstock.cache.calibration import Calibration
from penstock.store import semantic_answers
from penstock.store.database import Database
from penstock.store.semantic_answers import Place, Shadow

SPACE = Calibration.load(calibration.SHARED).space
#: alternately: near and right, and farther and wrong
NOTED = [Shadow("asked", "stored", 1.055, 0.99), Shadow("asked", "stored", 0.905, 0.3)] * 150


def note(url: str, notes: list[Shadow], space: str = SPACE) -> bool:
    async def work() -> bool:
        database = Database(url, size=2, name="test")
        await database.open()
        there = await semantic_answers.available(database)
        for one in notes if there else ():
            await semantic_answers.note_shadow(database, Place("a", b"s", "fast", space), one)
        await database.close()
        return there

    return asyncio.run(work())


def command(url: str, *arguments: str) -> tuple[int, str]:
    environment = {"PENSTOCK_DATABASE_URL": url, "PENSTOCK_REDIS_URL": "redis://127.0.0.1:1", "COLUMNS": "120"}
    done = CliRunner().invoke(app, list(arguments), env=environment)
    return done.exit_code, done.output + str(done.exception or "")


def test_what_was_noted_chooses_thresholds_and_is_shown(database_url: str, tmp_path: Path) -> None:
    if not note(database_url, NOTED):
        pytest.skip("this server has no pgvector")
    note(database_url, [Shadow("asked", "stored", 1.2, 0.1)] * 50, space="another calibration's")
    out = tmp_path / "out.npz"
    options = ("--tenant", "a", "--out", str(out))
    code, said = command(database_url, "calibrate-cache", "--shadow", "fast", *options)
    assert code == 0, said
    made = Calibration.load(out)
    assert made.thresholds == {"safe": pytest.approx(0.91), "balanced": pytest.approx(0.91)}
    assert made.space == SPACE
    code, said = command(database_url, "cache-shadow", "--model", "fast", "--tenant", "a")
    assert code == 0, said
    assert "300 questions" in said


def test_too_little_that_was_noted_is_told(database_url: str) -> None:
    if not note(database_url, NOTED[:10]):
        pytest.skip("this server has no pgvector")
    code, said = command(database_url, "calibrate-cache", "--shadow", "fast", "--tenant", "a")
    assert code != 0
    assert "10 questions were noted" in said
    assert "Nothing was noted" in command(database_url, "cache-shadow", "--model", "other", "--tenant", "a")[1]
