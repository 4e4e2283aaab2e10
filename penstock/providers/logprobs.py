"""Log probabilities as entries of the neutral form `{token, logprob, bytes, top_logprobs}`."""

from collections.abc import Sequence
from typing import Any

Entries = tuple[dict[str, Any], ...]


def entry(
    token: str, logprob: float, raw: Sequence[int] | None = None, rivals: Sequence[dict[str, Any]] = ()
) -> dict[str, Any]:
    """One token; `raw` is its bytes where the vendor tells them, `rivals` are what else could have stood there."""
    return {**_plain(token, logprob, raw), "top_logprobs": list(rivals)}


def rival(token: str, logprob: float, raw: Sequence[int] | None = None) -> dict[str, Any]:
    """One entry of `top_logprobs`."""
    return _plain(token, logprob, raw)


def ending(entries: Entries, text: str) -> Entries:
    """The entries at the end that make up `text`: what comes before them belongs to what was said before it."""
    lacking = len(text.encode("utf-8", "surrogatepass"))
    at = len(entries)
    while at and lacking > 0:
        at -= 1
        lacking -= len(entries[at]["bytes"])
    return entries[at:]


def _plain(token: str, logprob: float, raw: Sequence[int] | None) -> dict[str, Any]:
    known = raw if raw is not None else token.encode("utf-8", "surrogatepass")
    return {"token": token, "logprob": logprob, "bytes": list(known)}
