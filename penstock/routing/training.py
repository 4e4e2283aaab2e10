"""Learns a score from labelled work: ridge regression on weighed words, numbers and marks, by scikit-learn.

Only calibration imports this module; a worker that scores needs none of it. scikit-learn comes with the extra
`penstock[calibrate]`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.linear_model import Ridge

from penstock.routing.difficulty import MARK_WEIGHT, NUMBER_WEIGHT, OUTPUTS, LearnedScore, Weights
from penstock.routing.features import Features

Floats = NDArray[np.float64]
Places = NDArray[np.intp]

#: the most frequent terms kept of a block; terms that only one example has are never kept
MOST_TERMS = 20_000
#: decimal places kept of a weight
_PLACES = 6
_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class Corpus:
    """Counted features of all examples, counted once however often they are parted."""

    counts: dict[str, tuple[list[str], Any]]
    number_names: list[str]
    numbers: Floats
    marks: tuple[list[str], Any]

    @classmethod
    def of(cls, found: Sequence[Features]) -> "Corpus":
        """Count."""
        names = list(found[0].numbers)
        counts = {block: _counted([row.words[block] for row in found]) for block in found[0].words}
        numbers = np.array([[row.numbers[name] for name in names] for row in found], dtype=np.float64)
        has_marks = any(row.marks for row in found)
        marks = _counted([row.marks for row in found]) if has_marks else ([], csr_matrix((len(found), 0)))
        return cls(counts, names, numbers, marks)


@dataclass(slots=True)
class Encoder:
    """Turns examples of a corpus into rows of a sparse matrix, as `LearnedScore` weighs them."""

    kept: dict[str, Places]
    weighing: dict[str, TfidfTransformer]
    mean: Floats
    deviation: Floats

    @classmethod
    def fit(cls, corpus: Corpus, learn: Places) -> "Encoder":
        """Learn the vocabulary and the scales from these examples only."""
        kept: dict[str, Places] = {}
        weighing: dict[str, TfidfTransformer] = {}
        for block, (_, counts) in corpus.counts.items():
            part = counts[learn]
            shared = np.flatnonzero(np.asarray(part.getnnz(axis=0)) >= 2)
            total = np.asarray(part.sum(axis=0)).ravel()[shared]
            kept[block] = np.sort(shared[np.argsort(-total, kind="stable")[:MOST_TERMS]])
            weighing[block] = TfidfTransformer(sublinear_tf=True).fit(part[:, kept[block]])
        deviation = corpus.numbers[learn].std(axis=0)
        deviation[deviation < 1e-9] = 1.0
        return cls(kept, weighing, corpus.numbers[learn].mean(axis=0), deviation)

    def rows(self, corpus: Corpus, chosen: Places) -> Any:
        """The sparse matrix of the chosen examples."""
        parts = [
            self.weighing[block].transform(counts[chosen][:, self.kept[block]])
            for block, (_, counts) in corpus.counts.items()
        ]
        parts.append(csr_matrix(NUMBER_WEIGHT * (corpus.numbers[chosen] - self.mean) / self.deviation))
        parts.append(MARK_WEIGHT * corpus.marks[1][chosen])
        return hstack(parts).tocsr()


def fit_weights(rows: Any, targets: Floats, penalty: float) -> Ridge:
    """The ridge regression with this penalty on the outputs of `targets`, one column each."""
    return Ridge(alpha=penalty, solver="sparse_cg", tol=_TOLERANCE).fit(rows, targets)


def learned_score(corpus: Corpus, encoder: Encoder, weights: Ridge, sees_answer: bool) -> LearnedScore:
    """What serving needs of them, rounded."""
    columns = np.round(np.asarray(weights.coef_).reshape(len(OUTPUTS), -1).T, _PLACES).tolist()
    left = iter(columns)
    terms: dict[str, dict[str, Weights]] = {}
    for block, (vocabulary, _) in corpus.counts.items():
        frequencies = np.round(encoder.weighing[block].idf_, _PLACES).tolist()
        places = zip(encoder.kept[block].tolist(), frequencies, strict=True)
        terms[block] = {vocabulary[place]: (idf, *next(left)) for place, idf in places}
    scales = zip(corpus.number_names, encoder.mean.tolist(), encoder.deviation.tolist(), strict=True)
    numbers = {name: (mean, deviation, *next(left)) for name, mean, deviation in scales}
    marks = {mark: tuple(next(left)) for mark in corpus.marks[0]}
    return LearnedScore(sees_answer, terms, numbers, marks, tuple(map(float, np.ravel(weights.intercept_))))


def _counted(rows: list[list[str]]) -> tuple[list[str], Any]:
    counter = CountVectorizer(analyzer=_as_given, dtype=np.float32)
    counts = counter.fit_transform(rows)
    return counter.get_feature_names_out().tolist(), counts.tocsr()


def _as_given(words: list[str]) -> list[str]:
    return words
