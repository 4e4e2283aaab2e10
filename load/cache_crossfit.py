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

from load import report
from load.cache_bench import FILE, ROOT
from load.labelled import embed, model_folder, read
from penstock.cache import calibration, metric
from penstock.cache.calibration import Calibration
from penstock.cache.minilm import Floats, SentenceEncoder
from penstock.cache.replay import Stream

FOLDS = 4
STEPS = 300
#: of the file: how much of it is streamed, and in how many orders
SHARES = (0.25, 0.5, 1.0)
ORDERS = 3
#: below and above the thresholds that ship, to see what another choice would have given
AROUND = (-0.06, -0.04, -0.02, 0.0, 0.02, 0.04)


def main() -> None:
    """Learn six turns, replay, print."""
    options = _options()
    encoder = SentenceEncoder(model_folder(options.model))
    texts, labels = read(options.data / FILE)
    vectors = embed(encoder, texts, options.keep)
    shipped = Calibration.load(calibration.SHARED)
    folds = folds_of(texts if options.by == "questions" else labels)
    cosines = crossed(vectors, labels, folds, steps=options.steps)
    stream = Stream(texts, labels, cosines, length_weight=shipped.length_weight)
    rows = [
        row
        for level, threshold in shipped.thresholds.items()
        for step in AROUND
        for row in _replayed(stream, len(texts), level, round(threshold + step, 3), step)
    ]
    _print(options.by, rows)
    if options.write:
        about = {"file": FILE, "questions": len(texts), "by": options.by, "folds": FOLDS, "steps": options.steps}
        print(report.write(f"semantic-cache-unseen-{options.by}", [about | {"rows": rows}]))


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


def crossed(vectors: Floats, labels: list[str], folds: list[int], *, steps: int) -> Floats:
    """The cosines of all questions with each other, each by a turn that knows the folds of neither."""
    names, place = np.asarray(labels), np.asarray(folds)
    cosines = np.zeros((len(labels), len(labels)), np.float32)
    for one, other in combinations(range(FOLDS), 2):
        known = (place != one) & (place != other)
        turn = metric.learn(vectors[known], names[known].tolist(), steps=steps)
        for first, second in ((one, other), (one, one), (other, other)):
            rows, columns = np.flatnonzero(place == first), np.flatnonzero(place == second)
            block = metric.apply(vectors[rows], turn) @ metric.apply(vectors[columns], turn).T
            # within a fold three turns would do; the last one learnt stays
            cosines[np.ix_(rows, columns)] = block
            cosines[np.ix_(columns, rows)] = block.T
    return cosines


def _replayed(stream: Stream, count: int, level: str, threshold: float, step: float) -> list[dict[str, Any]]:
    found = []
    for share in SHARES:
        orders = [
            np.random.default_rng(seed).permutation(count)[: int(count * share)].tolist() for seed in range(ORDERS)
        ]
        seen = [stream.replay(threshold, order) for order in orders]
        found.append(
            {
                "level": level,
                "step": step,
                "threshold": threshold,
                "questions": len(orders[0]),
                "hits": float(np.mean([one.hits for one in seen])),
                "wrong": float(np.mean([one.wrong for one in seen])),
                "most_wrong": max(one.wrong for one in seen),
            }
        )
    return found


def _print(by: str, rows: list[dict[str, Any]]) -> None:
    table = Table(
        title=f"Unseen questions, folds by {by}; wrong answers of all queries, mean and most of {ORDERS} orders"
    )
    for heading in ("level", "threshold", "questions", "hits %", "wrong %", "most wrong %"):
        table.add_column(heading, justify="left" if heading == "level" else "right")
    for row in rows:
        name = row["level"] if row["step"] == 0 else f"{row['level']} {row['step']:+.2f}"
        shares = (f"{100 * row[name]:.2f}" for name in ("hits", "wrong", "most_wrong"))
        table.add_row(name, f"{row['threshold']:.2f}", str(row["questions"]), *shares)
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
