"""A sentence encoder of the BERT family in numpy: offline, on the processor, without a deep-learning framework.

It reads a folder as sentence-transformers publishes it (`config.json`, `vocab.txt`, `model.safetensors`) of an uncased
BERT with mean pooling, such as all-MiniLM-L6-v2 (Apache-2.0). The arithmetic is that of the published architecture.
"""

import hashlib
import json
import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penstock.cache.wordpiece import WordPiece
from penstock.errors import ConfigError

Floats = NDArray[np.float32]
_BATCH = 64
#: all-MiniLM was trained on texts of up to 256 pieces
_LONGEST = 256
#: safetensors begins with the length of its header, 8 bytes little-endian
_HEADER = 8


class SentenceEncoder:
    """Vectors of length 1 whose inner product says how alike two texts are."""

    def __init__(self, folder: Path) -> None:
        """Load a model: about 90 MB of memory for MiniLM, and a tenth of a second.

        Raises:
            ConfigError: the folder does not hold such a model.
        """
        try:
            settings = json.loads((folder / "config.json").read_text())
            self._words = WordPiece((folder / "vocab.txt").read_text("utf-8").splitlines())
            self._weights = _tensors(folder / "model.safetensors")
            if settings["model_type"] != "bert" or settings["hidden_act"] != "gelu":
                raise ConfigError(f"{folder}: not a BERT model with GELU")
            self._layers, self._heads = int(settings["num_hidden_layers"]), int(settings["num_attention_heads"])
            self._epsilon = float(settings["layer_norm_eps"])
            self.dimensions = int(settings["hidden_size"])
            weights = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
            #: names the weights: scores of other weights do not compare
            self.name = f"local-{weights[:16]}"
        except (OSError, KeyError, ValueError) as error:
            raise ConfigError(f"{folder}: no sentence encoder here ({error})") from error

    def embed(self, texts: Sequence[str]) -> Floats:
        """One row a text."""
        pieces = [self._words.encode(text, _LONGEST) for text in texts]
        # Alike lengths together: what is padded is work for nothing.
        order = sorted(range(len(pieces)), key=lambda index: len(pieces[index]))
        out = np.empty((len(pieces), self.dimensions), np.float32)
        for start in range(0, len(order), _BATCH):
            chosen = order[start : start + _BATCH]
            out[chosen] = self._forward([pieces[index] for index in chosen])
        return out

    def _forward(self, pieces: list[list[int]]) -> Floats:
        longest = max(map(len, pieces))
        numbers = np.zeros((len(pieces), longest), np.int64)
        present = np.zeros((len(pieces), longest), np.float32)
        for row, one in enumerate(pieces):
            numbers[row, : len(one)], present[row, : len(one)] = one, 1.0
        get = self._weights
        state = (
            get["embeddings.word_embeddings.weight"][numbers]
            + get["embeddings.position_embeddings.weight"][:longest]
            + get["embeddings.token_type_embeddings.weight"][0]
        )
        state = self._norm(state, "embeddings.LayerNorm")
        hidden = (1.0 - present)[:, None, None, :] * np.float32(-1e9)
        for layer in range(self._layers):
            state = self._layer(state, hidden, f"encoder.layer.{layer}")
        mean = (state * present[:, :, None]).sum(1) / present.sum(1, keepdims=True)
        scaled: Floats = mean / np.linalg.norm(mean, axis=1, keepdims=True)
        return scaled

    def _layer(self, state: Floats, hidden: Floats, name: str) -> Floats:
        texts, length, width = state.shape

        def heads(which: str) -> Floats:
            flat = self._linear(state, f"{name}.attention.self.{which}")
            return flat.reshape(texts, length, self._heads, -1).transpose(0, 2, 1, 3)

        query, key, value = heads("query"), heads("key"), heads("value")
        scores = query @ key.transpose(0, 1, 3, 2) / np.float32(np.sqrt(width / self._heads)) + hidden
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = ((scores / scores.sum(-1, keepdims=True)) @ value).transpose(0, 2, 1, 3).reshape(state.shape)
        mixed = self._linear(mixed, f"{name}.attention.output.dense")
        state = self._norm(state + mixed, f"{name}.attention.output.LayerNorm")
        inner = _gelu(self._linear(state, f"{name}.intermediate.dense"))
        return self._norm(state + self._linear(inner, f"{name}.output.dense"), f"{name}.output.LayerNorm")

    def _linear(self, state: Floats, name: str) -> Floats:
        out: Floats = state @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]
        return out

    def _norm(self, state: Floats, name: str) -> Floats:
        centred = state - state.mean(-1, keepdims=True)
        spread = np.sqrt((centred * centred).mean(-1, keepdims=True) + np.float32(self._epsilon))
        out: Floats = centred / spread * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]
        return out


def _gelu(state: Floats) -> Floats:
    """With the error function of Abramowitz and Stegun 7.1.26 (off by 1.5e-7 at most); numpy has none."""
    z = np.abs(state) / np.float32(np.sqrt(2.0))
    t = 1.0 / (1.0 + np.float32(0.3275911) * z)
    series = ((((1.061405429 * t - 1.453152027) * t) + 1.421413741) * t - 0.284496736) * t + 0.254829592
    erf = np.sign(state) * (1.0 - series * t * np.exp(-z * z))
    out: Floats = (0.5 * state * (1.0 + erf)).astype(np.float32)
    return out


def _tensors(path: Path) -> dict[str, Floats]:
    """The weights of a safetensors file, mapped and not copied: processes of one machine share them."""
    with path.open("rb") as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    length = int.from_bytes(content[:_HEADER], "little")
    header: dict[str, Any] = json.loads(content[_HEADER : _HEADER + length])
    found: dict[str, Floats] = {}
    for name, row in header.items():
        if name == "__metadata__" or row["dtype"] != "F32":
            continue
        start, end = row["data_offsets"]
        flat: Floats = np.frombuffer(content, np.float32, (end - start) // 4, _HEADER + length + start)
        found[name.removeprefix("bert.")] = flat.reshape(row["shape"])
    return found
