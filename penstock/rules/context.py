"""Whether a prompt can fit a model's context window, and how long its answer can be; judged without a tokenizer.

Only a prompt that certainly does not fit is refused. An answer's limit that is too high is lowered: callers ask for
tens of thousands of tokens to have no limit at all, and servers refuse what they cannot hold.
"""

import math
from dataclasses import replace

from penstock.completion import CompletionRequest, EmbeddingRequest, Message, Text, ToolResult
from penstock.errors import ContextTooLong
from penstock.rules.estimates import prompt_tokens

#: no tokenizer in use packs ordinary text more tightly; a prompt over this cannot fit, one under it the provider judges
_MOST_CHARACTERS_PER_TOKEN = 6
#: a lowered limit leaves this much more room for the prompt than it is estimated to take, since guesses are off
_PROMPT_MARGIN = 1.25


def require_fit(request: CompletionRequest | EmbeddingRequest, context: int | None, *, param: str = "messages") -> None:
    """Check the prompt's text against a context window, in tokens (None: unknown); each of several has it alone.

    `param` is the field of the prompt, for the error.

    Raises:
        ContextTooLong: it is larger than the window by any way of counting.
    """
    if context is None:
        return
    least = least_tokens(request)
    if least > context:
        raise ContextTooLong(
            f"The prompt has at least {least} tokens; the context window of `{request.model}` is {context} tokens.",
            param=param,
        )


def least_tokens(request: CompletionRequest | EmbeddingRequest) -> int:
    """The tokens that the longest prompt has at least, by any way of counting."""
    if isinstance(request, EmbeddingRequest):
        return max(map(_least_tokens, request.inputs))
    return max(map(_characters, (request.messages, *request.others))) // _MOST_CHARACTERS_PER_TOKEN


def within_limits(request: CompletionRequest, context: int | None, max_output: int | None) -> CompletionRequest:
    """The request with a limit of its answer that the model can keep, and a budget of thinking in the same proportion.

    `context` and `max_output` are in tokens (None: unknown). A limit that fits beside the estimated prompt stays.
    """
    asked = request.max_tokens
    if asked is None:
        return request
    most = asked if max_output is None else min(asked, max_output)
    if context is not None and asked + (prompt := prompt_tokens(request)) > context:
        most = min(most, max(context - math.ceil(prompt * _PROMPT_MARGIN), 1))
    if most == asked:
        return request
    thinking = request.reasoning_tokens
    if thinking is not None and thinking < asked:
        thinking = max(thinking * most // asked, 1)
    return replace(request, max_tokens=most, reasoning_tokens=thinking)


def _least_tokens(prompt: str | tuple[int, ...]) -> int:
    return len(prompt) // _MOST_CHARACTERS_PER_TOKEN if isinstance(prompt, str) else len(prompt)


def _characters(messages: tuple[Message, ...]) -> int:
    return sum(
        len(part.text if isinstance(part, Text) else part.content)
        for message in messages
        for part in message.parts
        if isinstance(part, Text | ToolResult)
    )
