"""What was asked, independent of the wire format it came in."""

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from simulator import tokens
from simulator.directives import NONE, Directives, parse
from simulator.prompt_cache import CacheUse, Prefix
from simulator.recordings import Recording
from simulator.refusal import RefusalError


@dataclass(slots=True, kw_only=True)
class Question:
    """One call, read and checked. `body` is the request as it came, for endpoints that echo parts of it."""

    model: str
    fingerprint: str
    input_tokens: int
    body: dict[str, Any]
    #: the text of the last message, and whether that was the result of a tool
    last: str = ""
    after_tool: bool = False
    max_tokens: int | None = None
    n: int = 1
    stop: tuple[str, ...] = ()
    stream: bool = False
    #: parameter schemas of the tools by name, and the one that must be called
    tools: dict[str, dict[str, Any]] = field(default_factory=dict)
    forced_tool: str | None = None
    #: the schema the answer must fit; an empty one asks for any JSON object
    schema: dict[str, Any] | None = None
    user: str | None = None
    directives: Directives = NONE
    #: what legacy completions and embeddings were given
    inputs: list[str] = field(default_factory=list)
    #: the beginnings of the prompt that may be cached, and what of it was read from the cache or written to it
    prefixes: list[Prefix] = field(default_factory=list)
    cache_use: CacheUse = field(default_factory=CacheUse)
    #: what the model is known to have said, which is then the answer
    recorded: Recording | None = None
    #: the whole prompt as one text, where its beginning may be kept without a mark
    prompt: str = ""
    #: how the answer begins, where the request ends with that
    begun: str = ""


class Transcript:
    """Collects the texts of a conversation while it is being read: its size, its fingerprint, its last message."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._roles: list[str] = []
        self._extra = 0
        self.last = ""
        self.last_role = ""

    def add(self, role: str, text: str) -> None:
        """One more message, or one more part of the conversation."""
        self._texts.append(text)
        self._roles.append(role)
        self.last = text
        self.last_role = role

    def whole(self) -> str:
        """All texts, each with the role of its message."""
        return "".join(f"{role}\0{text}\0" for role, text in zip(self._roles, self._texts, strict=True))

    def without_last(self) -> "Transcript":
        """The conversation up to its last message."""
        earlier = Transcript()
        for role, text in zip(self._roles[:-1], self._texts[:-1], strict=True):
            earlier.add(role, text)
        return earlier

    def weigh(self, count: int) -> None:
        """Tokens that are no text, such as a picture's."""
        self._extra += count

    @property
    def input_tokens(self) -> int:
        """The size of the prompt; at least 1."""
        return max(1, -(-sum(map(len, self._texts)) // tokens.TOKEN_CHARS) + self._extra)

    def fingerprint(self, model: str) -> str:
        """Names this exact request: 16 hexadecimal digits of a hash over model and texts."""
        text = "\x00".join([model, *self._texts])
        return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()

    def directives(self) -> Directives:
        """The orders in the last message, when that is the user's.

        Raises:
            RefusalError: a directive that cannot be used.
        """
        if self.last_role != "user":
            return NONE
        return directives_of(self.last)


def directives_of(text: str) -> Directives:
    """The orders in a text.

    Raises:
        RefusalError: a directive that cannot be used.
    """
    try:
        return parse(text)
    except ValueError as error:
        raise RefusalError(400, f"Unusable directive: {error}") from error
