"""Whether a prompt can fit a model's context window; judged without a tokenizer, so only what is certain is refused."""

from penstock.completion import CompletionRequest, EmbeddingRequest, Message, Text, ToolResult
from penstock.errors import ContextTooLong

#: no tokenizer in use packs ordinary text more tightly; a prompt over this cannot fit, one under it the provider judges
_MOST_CHARACTERS_PER_TOKEN = 6


def require_fit(request: CompletionRequest | EmbeddingRequest, context: int | None, *, param: str = "messages") -> None:
    """Check the prompt's text against a context window, in tokens (None: unknown); each of several has it alone.

    `param` is the field of the prompt, for the error.

    Raises:
        ContextTooLong: it is larger than the window by any way of counting.
    """
    if context is None:
        return
    if isinstance(request, EmbeddingRequest):
        least = max(map(_least_tokens, request.inputs))
    else:
        least = max(map(_characters, (request.messages, *request.others))) // _MOST_CHARACTERS_PER_TOKEN
    if least > context:
        raise ContextTooLong(
            f"The prompt has at least {least} tokens; the context window of `{request.model}` is {context} tokens.",
            param=param,
        )


def _least_tokens(prompt: str | tuple[int, ...]) -> int:
    return len(prompt) // _MOST_CHARACTERS_PER_TOKEN if isinstance(prompt, str) else len(prompt)


def _characters(messages: tuple[Message, ...]) -> int:
    return sum(
        len(part.text if isinstance(part, Text) else part.content)
        for message in messages
        for part in message.parts
        if isinstance(part, Text | ToolResult)
    )
