"""`penstock calibrate-cache` and `penstock cache-shadow`: how the semantic cache compares, and what it would serve."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from cli.labels import LEAST, Pairs, Questions, read_labels
from penstock.errors import ConfigError
from penstock.startup import server_urls

# Only these commands need the extra (`penstock[semantic]`): what uses numpy is imported where it is used.
if TYPE_CHECKING:
    from penstock.cache.calibration import Calibration
    from penstock.cache.minilm import Floats
    from penstock.cache.pairs import Judged
    from penstock.cache.replay import Replayed
    from penstock.store.semantic_answers import Shadow

#: how questions are divided: learnt from, chosen on, reported on; and pairs
_SPLIT = {"train": 0.5, "validation": 0.2, "test": 0.3}
_PAIR_SPLIT = {"validation": 0.5, "test": 0.5}
_STEPS = 200
_TEXTS_A_CALL = 64

DataOption = Annotated[Path | None, typer.Option("--data", help="Data folder of the embedded stack.")]
TenantOption = Annotated[str, typer.Option(help="Whose traffic was shadowed.")]
BaseOption = Annotated[
    Path | None, typer.Option("--calibration", help="The calibration in use (default: the one that ships).")
]


def calibrate_cache(
    labels: Annotated[
        Path | None,
        typer.Argument(
            help="CSV: text,intent (the same intent may get the same answer) or first,second,same (1 or 0)."
        ),
    ] = None,
    encoder: Annotated[Path | None, typer.Option(help="Folder of a local sentence encoder.")] = None,
    embedding_model: Annotated[
        str | None, typer.Option(help="A configured embedding model in its place; it is called, and paid for.")
    ] = None,
    config: Annotated[Path, typer.Option(help="The configuration that names the model.")] = Path("penstock.yaml"),
    shadow: Annotated[
        str | None, typer.Option(help="In place of a file: the model or route whose shadowed traffic is the label.")
    ] = None,
    tenant: TenantOption = "default",
    base: BaseOption = None,
    data: DataOption = None,
    out: Annotated[Path, typer.Option(help="Where the calibration is written.")] = Path("calibration.npz"),
) -> None:
    """Choose how questions are compared and from where on answers are served; prints hits against wrong answers."""
    if (labels is None) is (shadow is None):
        raise ConfigError("name a file with labels, or --shadow MODEL")
    if shadow is not None:
        found = _from_shadow(_base(base), asyncio.run(_shadows(server_urls(data).database, tenant, shadow, base)))
    else:
        assert labels is not None  # one of the two is there
        read = read_labels(labels)
        name, embed = _encoder(encoder, embedding_model, config)
        if isinstance(read, Questions):
            found = _from_questions(read, name, embed)
        else:
            found = _from_pairs(read, name, embed, base)
    found.save(out)
    typer.echo(f"written to {out}: name it as cache.semantic.calibration")


def cache_shadow(
    model: Annotated[str, typer.Option(help="The model or route that is shadowed.")],
    tenant: TenantOption = "default",
    base: BaseOption = None,
    data: DataOption = None,
) -> None:
    """Print, by threshold, what a shadowed cache would have served, and how much of it was wrong."""
    from penstock.cache.pairs import of_shadows, replay

    judged = of_shadows(asyncio.run(_shadows(server_urls(data).database, tenant, model, base)))
    scores = sorted(one.score for one in judged if one.score is not None)
    steps = sorted({round(scores[len(scores) * step // 10], 2) for step in range(10) if scores})
    _print(f"{len(judged)} questions, of which nothing was served", {"": [replay(judged, at) for at in steps]})


def _from_questions(read: Questions, name: str, embed: "Callable[[Sequence[str]], Floats]") -> "Calibration":
    from penstock.cache import calibration

    vectors = embed(read.texts)
    parts = calibration.split(read.texts, _SPLIT)

    def part(which: str) -> "tuple[list[str], list[str], Floats]":
        rows = [index for index, one in enumerate(parts) if one == which]
        return [read.texts[i] for i in rows], [read.intents[i] for i in rows], vectors[rows]

    learnt = calibration.learn(name, *part("train"), steps=_STEPS)
    validation = part("validation")
    found = calibration.with_thresholds(learnt, *validation, [range(len(validation[0]))])
    texts, intents, left = part("test")
    stream = found.stream(texts, intents, left)
    rows = {level: [stream.replay(at, range(len(texts)))] for level, at in found.thresholds.items()}
    _print(f"{len(texts)} questions that neither taught it nor chose its thresholds", rows)
    return found


def _from_pairs(read: Pairs, name: str, embed: "Callable[[Sequence[str]], Floats]", base: Path | None) -> "Calibration":
    from penstock.cache import calibration
    from penstock.cache.pairs import Judged, pair_scores

    firsts, seconds = [first for first, _ in read.pairs], [second for _, second in read.pairs]
    vectors = embed([*firsts, *seconds])
    shipped = _base(base)
    start = shipped if shipped.encoder == name else calibration.plain(name, vectors.shape[1])
    turned = start.turn(vectors)
    scores = pair_scores(start, firsts, seconds, turned[: len(firsts)], turned[len(firsts) :])
    judged = [Judged(score, same) for score, same in zip(scores, read.same, strict=True)]
    parts = calibration.split(firsts, _PAIR_SPLIT)
    chosen = [one for one, part in zip(judged, parts, strict=True) if part == "validation"]
    left = [one for one, part in zip(judged, parts, strict=True) if part == "test"]
    return _with_thresholds(start, chosen, left, f"{len(left)} pairs that did not choose the thresholds", 0.0)


def _from_shadow(start: "Calibration", noted: "list[Shadow]") -> "Calibration":
    from penstock.cache.pairs import of_shadows

    if len(noted) < LEAST:
        raise ConfigError(f"{len(noted)} questions were noted; fewer than {LEAST} calibrate nothing")
    judged = of_shadows(noted)
    scores = [one.score for one in judged if one.score is not None]
    # the earlier half chooses and the later one is reported, as it will be in use
    half = len(judged) // 2
    title = f"{len(judged) - half} later questions, which did not choose the thresholds"
    return _with_thresholds(start, judged[:half], judged[half:], title, min(scores, default=1.3))


def _with_thresholds(
    start: "Calibration", chosen: "list[Judged]", left: "list[Judged]", title: str, lowest: float
) -> "Calibration":
    from penstock.cache.calibration import MARGIN
    from penstock.cache.pairs import replay, thresholds

    found = replace(start, thresholds=thresholds(chosen, MARGIN, lowest))
    _print(title, {level: [replay(left, at)] for level, at in found.thresholds.items()})
    return found


def _encoder(folder: Path | None, model: str | None, config: Path) -> "tuple[str, Callable[[Sequence[str]], Floats]]":
    """The name of the vectors, as a calibration has it, and what makes them."""
    if (folder is None) is (model is None):
        raise ConfigError("name one of --encoder and --embedding-model")
    if folder is not None:
        from penstock.cache.minilm import SentenceEncoder

        made = SentenceEncoder(folder)
        return made.name, made.embed
    assert model is not None  # one of the two is there
    from penstock.settings import load_config

    configured = load_config(config).models.get(model)
    if configured is None:
        raise ConfigError(f"{config}: there is no model `{model}`")
    upstream = configured.upstream_model or model
    return f"model-{upstream}", lambda texts: asyncio.run(_embedded(config, model, texts))


async def _embedded(config: Path, model: str, texts: Sequence[str]) -> "Floats":
    import numpy as np

    from penstock.gateway import LLMGateway

    rows: list[Sequence[float]] = []
    async with LLMGateway.from_file(config) as gateway:
        for start in range(0, len(texts), _TEXTS_A_CALL):
            answer = await gateway.embed(list(texts[start : start + _TEXTS_A_CALL]), model=model)
            rows.extend(answer.vectors)
    vectors = np.asarray(rows, np.float32)
    scaled: Floats = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return scaled


def _base(path: Path | None) -> "Calibration":
    from penstock.cache import calibration
    from penstock.cache.calibration import Calibration

    return Calibration.load(path or calibration.SHARED)


def _print(title: str, rows: "dict[str, list[Replayed]]") -> None:
    table = Table(title=title)
    for heading in ("level", "threshold", "hits %", "wrong % of all queries"):
        table.add_column(heading)
    for level, found in rows.items():
        for row in found:
            table.add_row(level, f"{row.threshold:.2f}", f"{100 * row.hits:.1f}", f"{100 * row.wrong:.2f}")
    Console().print(table)


async def _shadows(url: str, tenant: str, model: str, base: Path | None) -> "list[Shadow]":
    """What was noted under the calibration in use: scores of another one do not compare."""
    from penstock.store import semantic_answers
    from penstock.store.database import Database

    database = Database(url, size=1, name="cache-shadow")
    await database.open()
    try:
        if not await semantic_answers.available(database):
            raise ConfigError("The database has no pgvector, so there is no semantic cache.")
        found = await semantic_answers.shadows(database, tenant, model, _base(base).space)
    finally:
        await database.close()
    if not found:
        raise ConfigError("Nothing was noted for this tenant, this model and this calibration.")
    return found
