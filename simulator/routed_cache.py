"""OpenAI's prompt cache: nothing is marked, and what a machine has answered lately it need not read again.

As the vendor documents it (its guide "Prompt caching"): prompts from 1,024 tokens on are kept, in steps of 128, for
some minutes after their last use; a request goes to a machine by a hash of its first 256 tokens or so together with its
`prompt_cache_key`; where more than some 15 requests a minute have these in common, the rest go to further machines.
"""

from collections import defaultdict, deque
from dataclasses import dataclass, field
from hashlib import blake2b

from simulator.tokens import TOKEN_CHARS

LEAST_TOKENS, STEP_TOKENS = 1024, 128
ROUTED_TOKENS = 256
PER_MINUTE = 15
_SECONDS = 300.0
#: above this, what nobody can read any more is forgotten
_MOST_KEPT = 100_000


@dataclass(slots=True)
class RoutedCache:
    """What the machines keep. Times are those of one monotonic clock, in seconds."""

    #: by machine and beginning: since when it can be read, and until when
    _kept: dict[tuple[bytes, int, bytes], tuple[float, float]] = field(default_factory=dict)
    #: when the last minute's requests with one beginning and key came
    _came: defaultdict[bytes, deque[float]] = field(default_factory=lambda: defaultdict(deque))

    def read(self, model: str, prompt: str, key: str | None, began: float, now: float) -> int:
        """How many tokens a call that came at `began` and is answered `now` finds kept; what it brings is kept then."""
        if len(prompt) < LEAST_TOKENS * TOKEN_CHARS:
            return 0
        route, machine = self._machine(model, prompt, key, began)
        if len(self._kept) > _MOST_KEPT:
            self._kept = {where: times for where, times in self._kept.items() if times[1] > now}
        found = 0
        for tokens, digest in _beginnings(prompt):
            since, until = self._kept.get((route, machine, digest), (now, now))
            if since <= began < until:
                found = tokens
            self._kept[route, machine, digest] = (since if began < until else now, now + _SECONDS)
        return found

    def _machine(self, model: str, prompt: str, key: str | None, began: float) -> tuple[bytes, int]:
        start = prompt[: ROUTED_TOKENS * TOKEN_CHARS]
        route = blake2b(f"{model}\0{key or ''}\0{start}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
        came = self._came[route]
        while came and came[0] <= began - 60:
            came.popleft()
        came.append(began)
        return route, (len(came) - 1) // PER_MINUTE


def _beginnings(prompt: str) -> list[tuple[int, bytes]]:
    """The beginnings that can be kept: their tokens, and a hash of each."""
    state, found = blake2b(digest_size=16), []
    step = STEP_TOKENS * TOKEN_CHARS
    for end in range(step, len(prompt) + 1, step):
        state.update(prompt[end - step : end].encode("utf-8", "surrogatepass"))
        if end >= LEAST_TOKENS * TOKEN_CHARS:
            found.append((end // TOKEN_CHARS, state.digest()))
    return found
