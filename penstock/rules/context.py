"""Whether a prompt can fit a model's context window; judged without a tokenizer, so only what is certain is refused."""

from penstock.completion import CompletionRequest, EmbeddingRequest, Text, ToolResult
from penstock.errors import ContextTooLong

#: no tokenizer in use packs ordinary text more tightly; a prompt over this cannot fit, one under it the provider judges
_MOST_CHARACTERS_PER_TOKEN = 6


def require_fit(request: CompletionRequest | EmbeddingRequest, context: int | None) -> None:
    """Check the prompt's text against a context window, in tokens (None: unknown). Texts to embed each have it alone.

    Raises:
        ContextTooLong: it is larger than the window by any way of counting.
    """
    if context is None:
        return
    if isinstance(request, EmbeddingRequest):
        least, param = max(map(_least_tokens, request.inputs)), "input"
    else:
        least, param = _characters(request) // _MOST_CHARACTERS_PER_TOKEN, "messages"
    if least > context:
        raise ContextTooLong(
            f"The prompt has at least {least} tokens; the context window of `{request.model}` is {context} tokens.",
            param=param,
        )


def _least_tokens(prompt: str | tuple[int, ...]) -> int:
    return len(prompt) // _MOST_CHARACTERS_PER_TOKEN if isinstance(prompt, str) else len(prompt)


def _characters(request: CompletionRequest) -> int:
    return sum(
        len(part.text if isinstance(part, Text) else part.content)
        for message in request.messages
        for part in message.parts
        if isinstance(part, Text | ToolResult)
    )
