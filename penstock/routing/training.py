"""Learns a score from labelled work, by scikit-learn: ridge regression on weighed words, numbers and marks, and trees.

Only calibration imports this module; a worker that scores needs none of it. scikit-learn comes with the extra
`penstock[calibrate]`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.linear_model import Ridge

from penstock.routing.difficulty import MARK_WEIGHT, NUMBER_WEIGHT, OUTPUTS, LearnedScore, Weights
from penstock.routing.familiarity import USUAL, Familiarity
from penstock.routing.features import Exchange, Features, features
from penstock.routing.trees import LEAF, Forest, Tree

Floats = NDArray[np.float64]
Places = NDArray[np.intp]

#: the most frequent terms kept of a block; terms that only one example has are never kept
MOST_TERMS = 20_000
#: decimal places kept of a weight
_PLACES = 6
_TOLERANCE = 1e-3
#: trees of an output. Few and shallow: they are for the shape of single numbers and pairs of them, and cost 0.1 ms
_TREES = {"n_estimators": 80, "max_depth": 3, "learning_rate": 0.06, "min_samples_leaf": 20, "subsample": 0.5}


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


def grow_trees(corpus: Corpus, learn: Places, targets: Floats) -> list[GradientBoostingRegressor]:
    """Boosted trees on the plain numbers, for each column of `targets`."""
    rows = corpus.numbers[learn]
    return [
        GradientBoostingRegressor(**_TREES, max_features=0.5, random_state=0).fit(rows, column) for column in targets.T
    ]


def forest_of(corpus: Corpus, grown: Sequence[GradientBoostingRegressor], share: float) -> Forest:
    """What serving needs of them."""
    trees = tuple(tuple(_tree(row[0].tree_, model.learning_rate) for row in model.estimators_) for model in grown)
    starts = tuple(float(np.ravel(model.init_.constant_)[0]) for model in grown)
    return Forest(share, tuple(corpus.number_names), starts, trees)


def _tree(tree: Any, rate: float) -> Tree:
    """Its nodes; scikit-learn puts both ways of a node behind it, as serving wants them."""
    nodes = zip(tree.feature, tree.threshold, tree.children_left, tree.children_right, tree.value.ravel(), strict=True)
    return tuple(
        (LEAF, round(rate * float(value), _PLACES), 0, 0)
        if left < 0
        else (int(number), float(bound), int(left), int(right))
        for number, bound, left, right, value in nodes
    )


def unknown_share(corpus: Corpus, encoder: Encoder, chosen: Places) -> Floats:
    """The share of each chosen prompt's terms that an encoder does not know."""
    counts = corpus.counts["prompt"][1][chosen]
    total = np.asarray(counts.sum(axis=1)).ravel()
    known = np.asarray(counts[:, encoder.kept["prompt"]].sum(axis=1)).ravel()
    return np.asarray(1 - known / np.maximum(total, 1), dtype=np.float64)


def familiarity(corpus: Corpus, learn: Places, unknown: Floats) -> Familiarity:
    """What these prompts are like; `unknown` are their shares of unknown terms, by encoders that did not see them."""
    of_prompt = features(Exchange("")).numbers.keys()
    rows = corpus.numbers[learn]
    spans = {
        name: (float(rows[:, place].min()), float(rows[:, place].max()))
        for place, name in enumerate(corpus.number_names)
        if name in of_prompt
    }
    return Familiarity(spans, float(np.quantile(unknown, USUAL)))


def learned_score(
    corpus: Corpus, encoder: Encoder, weights: Ridge, sees_answer: bool, forest: Forest | None = None
) -> LearnedScore:
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
    intercept = tuple(map(float, np.ravel(weights.intercept_)))
    return LearnedScore(sees_answer, terms, numbers, marks, intercept, forest)


def _counted(rows: list[list[str]]) -> tuple[list[str], Any]:
    counter = CountVectorizer(analyzer=_as_given, dtype=np.float32)
    counts = counter.fit_transform(rows)
    return counter.get_feature_names_out().tolist(), counts.tocsr()


def _as_given(words: list[str]) -> list[str]:
    return words
