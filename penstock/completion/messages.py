"""A conversation, independent of any vendor's wire format."""

from dataclasses import dataclass
from typing import Literal

Role = Literal["system", "user", "assistant", "tool"]
#: how long a provider is asked to keep the prompt up to and with a part in its cache; None asks for nothing
CacheLifetime = Literal["5m", "1h"]


@dataclass(frozen=True, slots=True)
class Text:
    """Plain text, from or to the model."""

    text: str
    cache: CacheLifetime | None = None


@dataclass(frozen=True, slots=True)
class Image:
    """A picture: either a `url` or base64 `data` with its `media_type`."""

    url: str | None = None
    data: str | None = None
    media_type: str | None = None
    detail: str | None = None
    cache: CacheLifetime | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """A document to read, such as a PDF: a `url`, or base64 `data` with its `media_type`."""

    url: str | None = None
    data: str | None = None
    media_type: str | None = None
    filename: str | None = None
    cache: CacheLifetime | None = None


@dataclass(frozen=True, slots=True)
class Reasoning:
    """What the model thought in an earlier turn. `signature` is the vendor's seal, which it wants back unchanged.

    A redacted one has no text: its signature holds it, encrypted.
    """

    text: str
    signature: str | None = None
    redacted: bool = False


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model asks for a tool. `arguments` is JSON text, exactly as the model wrote it."""

    id: str
    name: str
    arguments: str
    signature: str | None = None
    cache: CacheLifetime | None = None


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The answer to one `ToolCall`, named by its id."""

    call_id: str
    content: str
    images: tuple[Image, ...] = ()
    is_error: bool = False
    cache: CacheLifetime | None = None


Part = Text | Image | Document | Reasoning | ToolCall | ToolResult


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. Roles are `system`, `user`, `assistant` and `tool` (a message of tool results)."""

    role: Role
    parts: tuple[Part, ...]
    name: str | None = None

    @property
    def text(self) -> str:
        """The text parts, joined."""
        return "".join(part.text for part in self.parts if isinstance(part, Text))
