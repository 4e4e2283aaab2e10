"""What the semantic cache does with a whole stream of questions that never taught how they are compared.

    python -m load.cache_crossfit [--data folder] [--model folder] [--keep folder] [--by questions|intents] [--write]

The calibration that ships has seen the half of Banking77 that the project has, so its figures there flatter it; and a
part that was left out is shorter, which matters: a longer stream finds more neighbours. Here the questions are divided
into four folds, and the cosine of two questions is that of a turn learnt without the folds of both, six turns in all.
So no question of the stream taught how it is compared with another, and the stream is as long as the file. Each turn
knows half of the file only, where the one that ships knows all of it: on fresh questions that one should do better.

By `questions` a fold has some of every intent, as the stream that the project is judged by; by `intents` it has all of
some intents, so that the turn knows nothing of what is asked, as on questions of another kind.
"""

import argparse
import zlib
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from load import hits_plot, report
from load.cache_bench import FILE, ROOT
from load.labelled import embed, model_folder, read
from penstock.cache import calibration
from penstock.cache.calibration import Calibration
from penstock.cache.minilm import Floats, SentenceEncoder
from penstock.cache.replay import Stream

FOLDS = 4
STEPS = 120
#: of the file: how much of it is streamed, and in how many orders
SHARES = (0.25, 0.5, 1.0)
ORDERS = 3
#: below and above the thresholds that ship, on the whole stream: what another choice would have given
AROUND = (-0.04, -0.02, 0.02, 0.04)


def main() -> None:
    """Learn six turns, replay, print."""
    options = _options()
    encoder = SentenceEncoder(model_folder(options.model))
    texts, labels = read(options.data / FILE)
    vectors = embed(encoder, texts, options.keep)
    shipped = Calibration.load(calibration.SHARED)
    folds = folds_of(texts if options.by == "questions" else labels)
    stream = Stream(texts, labels, crossed(texts, labels, vectors, folds, steps=options.steps))
    rows = []
    for level, threshold in shipped.thresholds.items():
        rows += [_replayed(stream, level, threshold, int(len(texts) * share), len(texts)) for share in SHARES]
        rows += [_replayed(stream, level, round(threshold + step, 3), len(texts), len(texts)) for step in AROUND]
    _print(options.by, rows)
    if options.write:
        about = {"file": FILE, "questions": len(texts), "by": options.by, "folds": FOLDS, "steps": options.steps}
        picture = ROOT / f"docs/semantic-cache-unseen-{options.by}.svg"
        picture.write_text(hits_plot.draw(curves(rows)), "utf-8")
        print(report.write(f"semantic-cache-unseen-{options.by}", [about | {"rows": rows}]), picture)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT / "../shared/data", help="folder with the file")
    parser.add_argument("--model", type=Path, help="folder of the sentence encoder (default: the installed package)")
    parser.add_argument("--keep", type=Path, help="folder in which vectors are kept between runs")
    parser.add_argument("--by", choices=("questions", "intents"), default="questions", help="what is left out together")
    parser.add_argument("--steps", type=int, default=STEPS, help="of learning, for each turn")
    parser.add_argument("--write", action="store_true", help="write load/results")
    return parser.parse_args()


def folds_of(keys: list[str]) -> list[int]:
    """The fold of each key, by a hash of it."""
    return [zlib.crc32(key.encode(), 7) % FOLDS for key in keys]


def crossed(texts: list[str], labels: list[str], vectors: Floats, folds: list[int], *, steps: int) -> Floats:
    """The scores of all questions with each other, each by a calibration that knows the folds of neither."""
    place = np.asarray(folds)
    scores = np.zeros((len(texts), len(texts)), np.float32)
    for one, other in combinations(range(FOLDS), 2):
        known = np.flatnonzero((place != one) & (place != other))
        taught = [texts[row] for row in known], [labels[row] for row in known], vectors[known]
        learnt = calibration.learn("crossed", *taught, steps=steps)
        for first, second in ((one, other), (one, one), (other, other)):
            rows, columns = np.flatnonzero(place == first), np.flatnonzero(place == second)
            asked, stored = [texts[row] for row in rows], [texts[column] for column in columns]
            block = learnt.scores(asked, learnt.turn(vectors[rows]), stored, learnt.turn(vectors[columns]))
            # within a fold three calibrations would do; the last one learnt stays
            scores[np.ix_(rows, columns)] = block
            scores[np.ix_(columns, rows)] = block.T
        print(f"learnt without the folds {one} and {other}", flush=True)
    return scores


def _replayed(stream: Stream, level: str, threshold: float, asked: int, count: int) -> dict[str, Any]:
    """Of `asked` questions out of `count`: mean hits, mean wrong answers, and the most wrong ones of any order."""
    orders = [np.random.default_rng(seed).permutation(count)[:asked].tolist() for seed in range(ORDERS)]
    seen = [stream.replay(threshold, order) for order in orders]
    return {
        "level": level,
        "threshold": threshold,
        "questions": asked,
        "hits": float(np.mean([one.hits for one in seen])),
        "wrong": float(np.mean([one.wrong for one in seen])),
        "most_wrong": max(one.wrong for one in seen),
    }


def curves(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, float]]]:
    """The rows of each length of stream, from the highest threshold down."""
    found: dict[str, list[dict[str, float]]] = {}
    for row in sorted(rows, key=lambda row: (-row["questions"], -row["threshold"])):
        found.setdefault(f"{row['questions']} questions", []).append(row)
    return found


def _print(by: str, rows: list[dict[str, Any]]) -> None:
    table = Table(
        title=f"Unseen questions, folds by {by}; wrong answers of all queries, mean and most of {ORDERS} orders"
    )
    for heading in ("level", "threshold", "questions", "hits %", "wrong %", "most wrong %"):
        table.add_column(heading, justify="left" if heading == "level" else "right")
    for row in rows:
        shares = (f"{100 * row[name]:.2f}" for name in ("hits", "wrong", "most_wrong"))
        table.add_row(row["level"], f"{row['threshold']:.2f}", str(row["questions"]), *shares)
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
