"""`penstock calibrate-cache` and `penstock cache-shadow`: how the semantic cache compares, and what it would serve."""

import asyncio
import csv
import gzip
import io
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from penstock.errors import ConfigError
from penstock.startup import server_urls
from penstock.store import semantic_answers
from penstock.store.database import Database
from penstock.store.semantic_answers import Shadow

#: how the questions are divided: learnt from, chosen on, reported on
_SPLIT = {"train": 0.5, "validation": 0.2, "test": 0.3}
_STEPS = 200
_LEAST = 200
#: answers whose vectors are this near say the same; what a shadow noted below counts as wrong
_SAME_ANSWER = 0.9


def calibrate_cache(
    questions: Annotated[
        Path, typer.Argument(help="CSV with the fields text and intent; the same intent may get the same answer.")
    ],
    encoder: Annotated[Path, typer.Option(help="Folder of the sentence encoder.")],
    out: Annotated[Path, typer.Option(help="Where the calibration is written.")] = Path("calibration.npz"),
) -> None:
    """Learn how questions are compared, and choose thresholds; prints hits against wrong answers of all queries."""
    # Only this command needs the extra (`penstock[semantic]`).
    from penstock.cache import calibration
    from penstock.cache.minilm import SentenceEncoder
    from penstock.cache.replay import Stream

    texts, labels = _read(questions)
    made = SentenceEncoder(encoder)
    vectors = made.embed(texts)
    parts = calibration.split(texts, _SPLIT)
    rows = {name: [index for index, part in enumerate(parts) if part == name] for name in _SPLIT}

    def part(name: str) -> tuple[list[str], list[str], Any]:
        chosen = rows[name]
        return [texts[i] for i in chosen], [labels[i] for i in chosen], vectors[chosen]

    learnt = calibration.learn(made.name, *part("train"), steps=_STEPS)
    found = calibration.with_thresholds(learnt, *part("validation"), [range(len(rows["validation"]))])
    test_texts, test_labels, test_vectors = part("test")
    stream = Stream(test_texts, test_labels, found.turn(test_vectors), length_weight=found.length_weight)
    table = Table(title=f"{len(test_texts)} questions that neither taught it nor chose its thresholds")
    for heading in ("level", "threshold", "hits %", "wrong % of all queries"):
        table.add_column(heading)
    for level, threshold in found.thresholds.items():
        row = stream.replay(threshold, range(len(test_texts)))
        table.add_row(level, f"{threshold:.2f}", f"{100 * row.hits:.1f}", f"{100 * row.wrong:.2f}")
    Console().print(table)
    found.save(out)
    typer.echo(f"written to {out}: name it as cache.semantic.calibration")


def cache_shadow(
    tenant: Annotated[str, typer.Option(help="Whose traffic.")],
    model: Annotated[str, typer.Option(help="The model or route that is shadowed.")],
    encoder: Annotated[str, typer.Option(help="The encoder's name, as the calibration has it.")],
    data: Annotated[Path | None, typer.Option("--data", help="Data folder of the embedded stack.")] = None,
) -> None:
    """Print, by threshold, what a shadowed cache would have served, and how much of it was wrong."""
    found = asyncio.run(_shadows(server_urls(data).database, tenant, model, encoder))
    if not found:
        raise ConfigError("Nothing was noted for this tenant, model and encoder.")
    table = Table(title=f"{len(found)} answers that would have been served")
    for heading in ("threshold", "served", "of these wrong"):
        table.add_column(heading)
    near = [(one.score, one.agreement) for one in found if one.score is not None and one.agreement is not None]
    scores = sorted(score for score, _ in near)
    for threshold in sorted({round(scores[len(scores) * step // 10], 2) for step in range(10) if scores}):
        served = [agreement for score, agreement in near if score >= threshold]
        wrong = sum(agreement < _SAME_ANSWER for agreement in served)
        table.add_row(f"{threshold:.2f}", str(len(served)), str(wrong))
    Console().print(table)


async def _shadows(url: str, tenant: str, model: str, encoder: str) -> list[Shadow]:
    database = Database(url, size=1, name="cache-shadow")
    await database.open()
    try:
        if not await semantic_answers.available(database):
            raise ConfigError("The database has no pgvector, so there is no semantic cache.")
        return await semantic_answers.shadows(database, tenant, model, encoder)
    finally:
        await database.close()


def _read(path: Path) -> tuple[list[str], list[str]]:
    """The questions and what they are labelled with.

    Raises:
        ConfigError: the file cannot be used.
    """
    try:
        content = path.read_bytes()
        plain = gzip.decompress(content) if path.suffix == ".gz" else content
        rows = list(csv.DictReader(io.StringIO(plain.decode(), newline="")))
        texts, labels = [row["text"] for row in rows], [row["intent"] for row in rows]
    except (OSError, EOFError, KeyError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: no CSV with the fields text and intent ({error})") from error
    if len(texts) < _LEAST:
        raise ConfigError(f"{path}: holds {len(texts)} questions; fewer than {_LEAST} calibrate nothing")
    return texts, labels
