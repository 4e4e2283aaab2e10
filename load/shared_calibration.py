"""Make the calibration that Penstock ships, from public questions with intents.

    python -m load.shared_calibration --banking folder --clinc file [--keep folder] [--write]

`folder` holds `semcache_banking77.csv.gz` (Banking77, Casanueva et al. 2020, CC-BY-4.0); `file` is CLINC150's
`data_full.json` (Larson et al. 2019, CC-BY-3.0), of which the training questions of every second intent are taken and
the others are left to see how it carries over. The turn is learnt on both; the thresholds are chosen on a Banking77
part for which the turn was learnt without it, then the turn is learnt on all. A file of more questions than that part
has more hits at the same thresholds.
"""

import argparse
import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np

from load.cache_bench import FILE, STEPS, Labelled
from load.labelled import embed, model_folder, read
from penstock.cache import calibration
from penstock.cache.minilm import SentenceEncoder

#: of an intent's 100 training questions; the set is for balance, not for size
_EACH = 40


def main() -> None:
    """Learn, choose, print what is left out, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--banking", type=Path, required=True)
    parser.add_argument("--clinc", type=Path, required=True)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    encoder = SentenceEncoder(model_folder(options.model))
    texts, labels = read(options.banking / FILE)
    banking = Labelled(texts, labels, embed(encoder, texts, options.keep))
    taught, left = _clinc(options.clinc, encoder, options.keep)
    parts = calibration.split(texts, {"first": 0.5, "second": 0.5})
    first, second = banking.part(parts, "first"), banking.part(parts, "second")
    halfway = _learn(encoder, first, taught)
    orders = list(second.orders().values())
    chosen = calibration.with_thresholds(halfway, second.texts, second.labels, second.vectors, orders[1:3])
    print("thresholds", chosen.thresholds)
    for name, part in (("Banking77, the other half", second), ("CLINC150, other intents", left)):
        stream = part.stream(chosen)
        for level, threshold in chosen.thresholds.items():
            print(name, level, [stream.replay(threshold, order) for order in list(part.orders().values())[:3]])
    final = replace(_learn(encoder, banking, taught), thresholds=chosen.thresholds)
    stream = left.stream(final)
    for level, threshold in final.thresholds.items():
        print("final, CLINC150, other intents", level, stream.replay(threshold, left.orders()["shuffle 1"]))
    if options.write:
        final.save(calibration.SHARED)


def _clinc(path: Path, encoder: SentenceEncoder, keep: Path | None) -> tuple[Labelled, Labelled]:
    """The questions to learn from, and those of the other intents."""
    by_intent: dict[str, list[str]] = {}
    for text, intent in json.loads(path.read_text())["train"]:
        by_intent.setdefault(intent, []).append(text)
    chance = random.Random(1)
    drawn = {intent: chance.sample(texts, _EACH) for intent, texts in by_intent.items()}
    found = []
    for half in (0, 1):
        intents = sorted(by_intent)[half::2]
        rows = [(text, intent) for intent in intents for text in drawn[intent]]
        texts, labels = [text for text, _ in rows], [intent for _, intent in rows]
        found.append(Labelled(texts, labels, embed(encoder, texts, keep)))
    return found[0], found[1]


def _learn(encoder: SentenceEncoder, banking: Labelled, clinc: Labelled) -> calibration.Calibration:

    vectors = np.concatenate([banking.vectors, clinc.vectors])
    texts, labels = banking.texts + clinc.texts, banking.labels + clinc.labels
    return calibration.learn(encoder.name, texts, labels, vectors, steps=STEPS)


if __name__ == "__main__":
    main()
