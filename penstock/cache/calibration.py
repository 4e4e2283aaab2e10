"""From which score on a stored answer is served: chosen on questions whose right answers are known, kept in one file.

A threshold holds for one encoder only, so the file names it. With labels enough, a turn of the vector space is learnt
beside it (`metric`), which moves far more than the threshold does.
"""

import hashlib
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from penstock.cache import kinds, metric
from penstock.cache.kinds import Kinds, Weighing
from penstock.cache.replay import Replayed, Stream, length_bonus
from penstock.errors import ConfigError

Floats = NDArray[np.float32]
#: made by `python -m load.shared_calibration`, for all-MiniLM-L6-v2; docs/semantic-cache.md says from what
SHARED = Path(__file__).with_name("minilm.npz")
#: what a word more is worth beside the cosine, see `replay.length_bonus`
LENGTH_WEIGHT = 0.08
#: how questions of known kinds are scored: chosen on streams of Banking77 that taught nothing, so that one threshold
#: means about the same there as for other questions (docs/semantic-cache.md)
WEIGHING = Weighing(least=0.5, cosine=0.57, length=0.074, clear=0.655, offset=0.239, strange=-0.08)
#: of one kind nothing can be told apart
_LEAST_KINDS = 2
#: wrong answers, as a share of all queries, that each level may give
LEVELS = {"safe": 0.007, "balanced": 0.019}
#: share of that which a choice on a validation set may use up: what is chosen on one sample is exceeded on the next
MARGIN = 0.6
_STEP = 0.01


@dataclass(frozen=True, slots=True)
class Calibration:
    """How vectors of one encoder are compared. `thresholds` has a score for each level; `seen` knows what taught it.

    `kinds` are those that it knows, where it learnt any.
    """

    encoder: str
    matrix: Floats
    thresholds: dict[str, float]
    length_weight: float = LENGTH_WEIGHT
    seen: frozenset[int] = frozenset()
    kinds: Kinds | None = None

    @property
    def space(self) -> str:
        """Names the vectors as they are stored: those of another encoder, or turned otherwise, do not compare."""
        turn = hashlib.blake2b(self.matrix.astype(np.float16).tobytes(), digest_size=6).hexdigest()
        return f"{self.encoder}-{turn}"

    def turn(self, vectors: Floats) -> Floats:
        """Vectors of the encoder as they are stored and searched."""
        return metric.apply(vectors, self.matrix)

    def scores(self, asked: Sequence[str], vectors: Floats, stored: Sequence[str], others: Floats) -> Floats:
        """The score of each question with each stored one, a row for each that is asked; both vectors turned."""
        bonus, cosines = length_bonus(asked, stored), vectors @ others.T
        plain: Floats = (cosines + np.float32(self.length_weight) * bonus).astype(np.float32)
        if self.kinds is None:
            return plain
        return self.kinds.scores(plain, cosines, bonus, self.kinds.place(vectors), self.kinds.place(others))

    def stream(self, texts: Sequence[str], labels: Sequence[str], vectors: Floats, *, gated: bool = True) -> Stream:
        """A labelled stream as it is compared here; `vectors` are the encoder's."""
        turned = self.turn(vectors)
        return Stream(texts, labels, self.scores(texts, turned, texts, turned), gated=gated)

    def overlap(self, texts: Sequence[str]) -> float:
        """The share of texts that it was taught with: figures on these flatter it."""
        return sum(mark in self.seen for mark in _marks(texts)) / len(texts)

    def save(self, path: Path) -> None:
        """Write it; vectors lose nothing that counts in half precision."""
        np.savez_compressed(
            path,
            encoder=np.array(self.encoder),
            matrix=self.matrix.astype(np.float16),
            levels=np.array(list(self.thresholds)),
            thresholds=np.array(list(self.thresholds.values())),
            length_weight=np.array(self.length_weight),
            seen=np.array(sorted(self.seen), np.uint32),
            centres=(self.kinds.centres if self.kinds else np.zeros((0, 0))).astype(np.float16),
            weighing=self.kinds.numbers() if self.kinds else np.zeros(0),
        )

    @classmethod
    def load(cls, path: Path) -> "Calibration":
        """Read one.

        Raises:
            ConfigError: the file is missing or is none.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                levels = map(str, file["levels"])
                centres, weighing = file["centres"].astype(np.float32), map(float, file["weighing"])
                return cls(
                    encoder=str(file["encoder"]),
                    matrix=file["matrix"].astype(np.float32),
                    thresholds=dict(zip(levels, map(float, file["thresholds"]), strict=True)),
                    length_weight=float(file["length_weight"]),
                    seen=frozenset(file["seen"].tolist()),
                    kinds=Kinds(centres, Weighing(*weighing)) if len(centres) else None,
                )
        except (OSError, KeyError, ValueError, TypeError) as error:
            raise ConfigError(f"{path}: not a calibration of the semantic cache ({error})") from error


def plain(encoder: str, dimensions: int) -> Calibration:
    """No turn and no thresholds yet: the encoder as it is."""
    return Calibration(encoder, np.eye(dimensions, dtype=np.float32), {}, 0.0)


def learn(
    encoder: str,
    texts: Sequence[str],
    labels: Sequence[str],
    vectors: Floats,
    *,
    steps: int,
    known: frozenset[str] | None = None,
) -> Calibration:
    """A calibration with its turn and the kinds it knows, those labels in `known` (None: all); without thresholds."""
    matrix = metric.learn(vectors, labels, steps=steps)
    chosen = frozenset(labels) if known is None else known
    centres = kinds.centres_of(metric.apply(vectors, matrix), labels, chosen)
    found = Kinds(centres, WEIGHING) if len(centres) >= _LEAST_KINDS else None
    return Calibration(encoder, matrix, {}, seen=frozenset(_marks(texts)), kinds=found)


def with_thresholds(
    calibration: Calibration,
    texts: Sequence[str],
    labels: Sequence[str],
    vectors: Floats,
    orders: Sequence[Sequence[int]],
) -> Calibration:
    """The calibration with a threshold for each level, chosen on questions that did not teach it."""
    stream = calibration.stream(texts, labels, vectors)
    chosen = {name: choose(stream.replay, orders, most * MARGIN) for name, most in LEVELS.items()}
    return replace(calibration, thresholds=chosen)


def choose(
    replay: Callable[[float, Sequence[int]], Replayed], orders: Sequence[Sequence[int]], most_wrong: float
) -> float:
    """The lowest threshold at which no order of the stream, nor any threshold above, gives more wrong answers."""
    threshold = 1.3
    while threshold > 0:
        lower = round(threshold - _STEP, 4)
        if max(replay(lower, order).wrong for order in orders) > most_wrong:
            break
        threshold = lower
    return threshold


def split(texts: Iterable[str], shares: dict[str, float]) -> list[str]:
    """The part each text belongs to, by a hash of it: the same in every order and on every machine."""
    names, edges = list(shares), np.cumsum(list(shares.values()))
    places = [zlib.crc32(text.encode(), 1) / 2**32 * edges[-1] for text in texts]
    return [names[int(index)] for index in np.searchsorted(edges, places, side="right")]


def _marks(texts: Iterable[str]) -> list[int]:
    return [zlib.crc32(text.encode()) for text in texts]
