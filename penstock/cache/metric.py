"""A turn of the vector space in which questions with one answer lie closer together, learnt from labelled questions.

Neighbourhood components analysis (Goldberger et al. 2004) over one matrix: each question should find those of its own
label among all others, by the softmax of their cosines. It begins at the identity and stops early, so what the encoder
knows of everything else is mostly kept.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
_TEMPERATURE = 0.05
_STEP = 0.002
_BATCH = 1536
_ALONE = np.float32(-1e9)


def learn(vectors: Floats, labels: Sequence[str], *, steps: int = 60, seed: int = 0) -> Floats:
    """The matrix by which vectors are multiplied. Rows of `vectors` have length 1; `labels` says whose answer is whose.

    About a tenth of a second a step.
    """
    numbers = np.unique(np.asarray(labels), return_inverse=True)[1]
    chance = np.random.default_rng(seed)
    matrix = np.eye(vectors.shape[1], dtype=np.float32)
    mean, square = np.zeros_like(matrix), np.zeros_like(matrix)
    for step in range(1, steps + 1):
        chosen = chance.choice(len(vectors), min(_BATCH, len(vectors)), replace=False)
        slope = _slope(vectors[chosen], numbers[chosen], matrix)
        # Adam (Kingma and Ba 2015)
        mean = 0.9 * mean + 0.1 * slope
        square = 0.99 * square + 0.01 * slope * slope
        matrix -= _STEP * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.99**step)) + 1e-8)
    return matrix


def apply(vectors: Floats, matrix: Floats) -> Floats:
    """The vectors turned, of length 1 again."""
    turned = vectors @ matrix
    scaled: Floats = (turned / np.linalg.norm(turned, axis=1, keepdims=True)).astype(np.float32)
    return scaled


def _slope(vectors: Floats, labels: NDArray[np.int64], matrix: Floats) -> Floats:
    """The gradient of the mean of -log(share of the softmax that falls on one's own label)."""
    turned = vectors @ matrix
    lengths = np.linalg.norm(turned, axis=1, keepdims=True)
    unit = turned / lengths
    logits = unit @ unit.T / np.float32(_TEMPERATURE)
    np.fill_diagonal(logits, _ALONE)
    share = np.exp(logits - logits.max(1, keepdims=True))
    share /= share.sum(1, keepdims=True)
    own = labels[:, None] == labels[None]
    np.fill_diagonal(own, val=False)
    found = (share * own).sum(1, keepdims=True) + np.float32(1e-9)
    by_logit = (share - share * own / found) / np.float32(len(vectors) * _TEMPERATURE)
    by_unit = by_logit @ unit + by_logit.T @ unit
    by_turned = (by_unit - (by_unit * unit).sum(1, keepdims=True) * unit) / lengths
    slope: Floats = vectors.T @ by_turned
    return slope
