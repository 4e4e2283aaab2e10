"""What the semantic cache does with a stream of questions whose right answers are known.

    make bench-cache [DATA=folder]
    python -m load.cache_bench [--data folder] [--model folder] [--keep folder] [--write]

The folder holds `semcache_banking77.csv.gz` (fields `text` and `intent`; the same intent means that the same answer may
be served). Each question in turn looks for its neighbour among the earlier misses; a hit of another intent is a wrong
answer. All shares are of all queries. Two things are measured:

- `shared`: the calibration that Penstock ships, over the whole stream. What it was taught with flatters it, so the
  share of texts that it has seen is reported beside it.
- `own`: what `penstock calibrate-cache` makes of such a file: the texts are split by a hash into train (the turn is
  learnt), validation (the thresholds are chosen) and test (everything reported), beside plain cosines.
"""

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from load import hits_plot, report
from load.labelled import embed, model_folder, read
from penstock.cache import calibration
from penstock.cache.calibration import Calibration
from penstock.cache.minilm import Floats, SentenceEncoder
from penstock.cache.replay import Replayed, Stream

FILE = "semcache_banking77.csv.gz"
ROOT = report.FOLDER.parent
#: the order of the file, and this many others
SHUFFLES = 3
SPLIT = {"train": 0.5, "validation": 0.2, "test": 0.3}
STEPS = 200
#: shares of hits at which ways of comparing are set side by side, as the project's targets have them
POINTS = {"safe": 0.32, "balanced": 0.50}


@dataclass(frozen=True)
class Labelled:
    """Questions with the answers they may share."""

    texts: list[str]
    labels: list[str]
    vectors: Floats

    def part(self, parts: Sequence[str], name: str) -> "Labelled":
        """Those of one part."""
        rows = [index for index, part in enumerate(parts) if part == name]
        return Labelled([self.texts[i] for i in rows], [self.labels[i] for i in rows], self.vectors[rows])

    def orders(self) -> dict[str, list[int]]:
        """In which its questions come."""
        count = len(self.texts)
        shuffled = {
            f"shuffle {seed}": np.random.default_rng(seed).permutation(count).tolist()
            for seed in range(1, SHUFFLES + 1)
        }
        return {"file": list(range(count)), **shuffled}

    def stream(self, chosen: Calibration, *, gated: bool = True) -> Stream:
        """Them as a stream, compared as calibrated."""
        return chosen.stream(self.texts, self.labels, self.vectors, gated=gated)


def main() -> None:
    """Measure, print, write."""
    options = _options()
    encoder = SentenceEncoder(model_folder(options.model))
    texts, labels = read(options.data / FILE)
    print(f"{len(texts)} questions, {len(set(labels))} answers; embedding them …", flush=True)
    every = Labelled(texts, labels, embed(encoder, texts, options.keep))
    shared = _shared(every, encoder)
    own = _own(every, encoder)
    for title, part in (("Shipped calibration, whole stream", shared), ("Own calibration, test part", own)):
        _print(title, part)
    if options.write:
        result = {"file": FILE, "questions": len(texts), "answers": len(set(labels)), "encoder": encoder.name}
        path = report.write("semantic-cache", [result | {"shared": shared, "own": own}])
        picture = ROOT / "docs/semantic-cache.svg"
        picture.write_text(hits_plot.draw({"shipped calibration": shared["curve"], **own["curves"]}), "utf-8")
        print(f"{path}\n{picture}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT / "../shared/data", help="folder with the file")
    parser.add_argument("--model", type=Path, help="folder of the sentence encoder (default: the installed package)")
    parser.add_argument("--keep", type=Path, help="folder in which vectors are kept between runs")
    parser.add_argument("--write", action="store_true", help="write load/results and the plot in docs")
    return parser.parse_args()


def _shared(every: Labelled, encoder: SentenceEncoder) -> dict[str, Any]:
    chosen = Calibration.load(calibration.SHARED)
    if chosen.encoder != encoder.name:
        raise SystemExit(f"The shipped calibration is for the encoder {chosen.encoder}, and this is {encoder.name}.")
    stream = every.stream(chosen)
    return {
        "seen_in_training": round(chosen.overlap(every.texts), 4),
        "levels": _levels(stream, chosen, every.orders()),
        "curve": _curve(stream, every.orders()["shuffle 1"]),
    }


def _own(every: Labelled, encoder: SentenceEncoder) -> dict[str, Any]:
    parts = calibration.split(every.texts, SPLIT)
    train, validation, test = (every.part(parts, name) for name in SPLIT)
    learnt = calibration.learn(encoder.name, train.texts, train.labels, train.vectors, steps=STEPS)
    own_orders = list(validation.orders().values())[1:3]
    chosen = calibration.with_thresholds(learnt, validation.texts, validation.labels, validation.vectors, own_orders)
    bare = calibration.plain(encoder.name, encoder.dimensions)
    ways = {
        "cosine": test.stream(bare, gated=False),
        "cosine and gate": test.stream(bare),
        "learnt": test.stream(learnt, gated=False),
        "learnt and gate": test.stream(learnt),
    }
    order = test.orders()["shuffle 1"]
    curves = {name: _curve(stream, order) for name, stream in ways.items()}
    return {
        "parts": {name: parts.count(name) for name in SPLIT},
        "levels": _levels(ways["learnt and gate"], chosen, test.orders()),
        "at": {name: {level: _at(curve, share) for level, share in POINTS.items()} for name, curve in curves.items()},
        "curves": curves,
    }


def _levels(stream: Stream, chosen: Calibration, orders: dict[str, list[int]]) -> dict[str, Any]:
    """Hits and wrong answers at the calibrated thresholds, in each order."""
    return {
        level: {name: asdict(stream.replay(threshold, order)) for name, order in orders.items()}
        for level, threshold in chosen.thresholds.items()
    }


def _curve(stream: Stream, order: list[int]) -> list[dict[str, float]]:
    return [asdict(stream.replay(round(float(at), 3), order)) for at in np.arange(0.8, 1.34, 0.03)]


def _at(curve: list[dict[str, float]], share: float) -> dict[str, float]:
    """The highest threshold with so many hits; on this very stream, so only for setting ways side by side."""
    enough = [point for point in curve if point["hits"] >= share]
    return enough[-1] if enough else curve[0]


def _print(title: str, part: dict[str, Any]) -> None:
    about = (
        f"{100 * part['seen_in_training']:.0f} % of it seen in training"
        if "seen_in_training" in part
        else str(part["parts"])
    )
    table = Table(title=f"{title} ({about})")
    for heading in ("level or way", "order", "threshold", "hits %", "wrong % of all queries"):
        table.add_column(heading, justify="left" if heading in ("level or way", "order") else "right")
    for level, rows in part["levels"].items():
        for order, row in rows.items():
            table.add_row(level, order, *_numbers(Replayed(**row)))
    for way, points in part.get("at", {}).items():
        for point, row in points.items():
            table.add_row(way, f"at {100 * POINTS[point]:.0f} % hits", *_numbers(Replayed(**row)))
    Console(width=110).print(table)


def _numbers(row: Replayed) -> tuple[str, str, str]:
    return f"{row.threshold:.3f}", f"{100 * row.hits:.1f}", f"{100 * row.wrong:.2f}"


if __name__ == "__main__":
    main()
