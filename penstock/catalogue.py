"""Vendors as data rows: where each is, which wire format it speaks, which variable holds its key, and how it differs.

A provider of the configuration that names a `vendor` takes its row from here and may replace any part of it.
"""

from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel, ConfigDict

WireFormat = Literal[
    "openai",
    "anthropic",
]


class Quirks(BaseModel):
    """How a server that speaks OpenAI's chat completions differs from the vendor's own.

    `limit_field` is what it calls the limit of the answer's tokens; `unsupported` are fields of a request that it
    refuses or ignores without a word, so that asking for them is an error before the call; `renamed` are fields it
    calls otherwise.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    unsupported: frozenset[str] = frozenset()
    renamed: dict[str, str] = {}
    #: whether a stream may be asked for its usage (`stream_options.include_usage`)
    stream_usage: bool = True
    #: how it says that some tool must be called
    required_tool_choice: str = "required"


@dataclass(frozen=True, slots=True)
class Vendor:
    """One row. `base_url` is the documented one; `key_variable` names the environment variable of its key, if any."""

    name: str
    wire_format: WireFormat
    base_url: str
    key_variable: str | None
    quirks: Quirks = field(default_factory=Quirks)


_ROWS = (
    Vendor(
        "openai", "openai", "https://api.openai.com/v1", "OPENAI_API_KEY", Quirks(limit_field="max_completion_tokens")
    ),
    Vendor("anthropic", "anthropic", "https://api.anthropic.com", "ANTHROPIC_API_KEY"),
)

VENDORS: dict[str, Vendor] = {row.name: row for row in _ROWS}
