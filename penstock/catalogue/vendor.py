"""What a row of the catalogue says of a vendor."""

from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel, ConfigDict

WireFormat = Literal[
    "openai",
    "openai-responses",
    "azure-openai",
    "anthropic",
    "cohere",
    "ollama",
    "gemini",
    "bedrock",
]


class Quirks(BaseModel):
    """How a server that speaks OpenAI's chat completions differs from the format's common core.

    Fields are named as the wire has them. `unsupported` ones are refused or ignored there without a word, so that
    asking for them is an error before the call; it may also name a `response_format`, such as `json_schema`. `dropped`
    are hints it does not know (`user`; `name` is that of messages): they are left out, which changes no promise.
    `renamed` are fields it calls otherwise.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: what it calls the limit of the answer's tokens
    limit_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    unsupported: frozenset[str] = frozenset()
    dropped: frozenset[str] = frozenset()
    renamed: dict[str, str] = {}
    #: whether a stream may be asked for its usage (`stream_options.include_usage`)
    stream_usage: bool = True
    #: whether `stop_reason` of a choice names the stop string that ended it, which OpenAI's own format has no field for
    tells_stop: bool = False
    #: how it says that some tool must be called; None where it cannot be told so, nor which
    required_tool_choice: str | None = "required"
    #: the field that says how much to think: OpenAI's word, OpenRouter's object, or a switch with (`thinking`) or
    #: without (`enable_thinking`) the word beside it
    reasoning: Literal["reasoning_effort", "reasoning", "thinking", "enable_thinking"] = "reasoning_effort"
    #: where an assistant's message holds what it thought; None where that is not told again. `thinking` is a part of
    #: its content.
    reasoning_field: Literal["reasoning_content", "reasoning", "reasoning_details", "thinking"] | None = None


@dataclass(frozen=True, slots=True)
class Vendor:
    """One row.

    `base_url` is the documented one; `key_variable` names the environment variable of its key, if any; `docs` is where
    the vendor says all this.
    """

    name: str
    wire_format: WireFormat
    base_url: str
    key_variable: str | None
    docs: str
    quirks: Quirks = field(default_factory=Quirks)

    @property
    def is_local(self) -> bool:
        """Whether it is a server that one runs oneself: its address says nothing about what it is."""
        return self.base_url.startswith("http://")
