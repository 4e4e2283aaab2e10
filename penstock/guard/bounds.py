"""How large a request may be and what it may ask for."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import MISSING, Field, fields, replace
from typing import Any

from penstock.completion import CompletionRequest, EmbeddingRequest
from penstock.configuration.policies import BoundsConfig
from penstock.errors import GuardBlocked
from penstock.guard.texts import has_unreadable
from penstock.rules.estimates import plain_input, prompt_tokens

_Request = CompletionRequest | EmbeddingRequest
#: a request has to have these, or they are asked for elsewhere
_NO_PARAMETERS = frozenset({"model", "messages", "others", "inputs", "extra", "responses_only"})
#: where the fields of Anthropic's dialect stand together (see `CompletionRequest.extra`)
_ANTHROPIC = "anthropic"


def within_bounds(request: _Request, bounds: BoundsConfig, texts: Sequence[str], *, prompt: str) -> _Request:
    """The request, with a limit of its answer where it names none and there is one. `prompt` is its prompt's field.

    Raises:
        GuardBlocked: it is too large or asks for what it may not; `param` names the field.
    """
    for name in (request.model, *request.fallback):
        if name in bounds.denied_models or (bounds.models is not None and name not in bounds.models):
            raise _blocked(f"the model `{name}` may not be asked for here", "model")
    for name in _parameters(request):
        if name in bounds.denied_parameters:
            raise _blocked(f"the parameter `{name}` may not be used here", name)
    _check_size(request, bounds, texts, prompt)
    if bounds.unreadable == "block" and has_unreadable(request):
        raise _blocked("it holds a part that cannot be checked (a picture, a document, or tokens)", prompt)
    if isinstance(request, CompletionRequest) and bounds.max_output_tokens is not None:
        return _with_limit(request, bounds.max_output_tokens)
    return request


def _check_size(
    request: CompletionRequest | EmbeddingRequest, bounds: BoundsConfig, texts: Sequence[str], prompt: str
) -> None:
    if bounds.max_messages is not None and isinstance(request, CompletionRequest):
        count = max(len(messages) for messages in (request.messages, *request.others))
        if count > bounds.max_messages:
            raise _blocked(f"it has {count} messages; {bounds.max_messages} are allowed", prompt)
    if bounds.max_bytes is not None:
        size = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
        if size > bounds.max_bytes:
            raise _blocked(f"its text has {size} bytes; {bounds.max_bytes} are allowed", prompt)
    if bounds.max_input_tokens is not None:
        tokens = _input_tokens(request)
        if tokens > bounds.max_input_tokens:
            raise _blocked(f"it has about {tokens} input tokens; {bounds.max_input_tokens} are allowed", prompt)


def _with_limit(request: CompletionRequest, most: int) -> CompletionRequest:
    answers = request.n * (1 + len(request.others))
    if request.max_tokens is None:
        return replace(request, max_tokens=max(most // answers, 1))
    if request.max_tokens * answers > most:
        asked = request.max_tokens * answers
        raise _blocked(f"it asks for {asked} output tokens; {most} are allowed", "max_tokens")
    return request


def _parameters(request: CompletionRequest | EmbeddingRequest) -> Iterator[str]:
    """The fields that were given a value."""
    every: Iterable[Field[Any]] = fields(request)
    for field in every:
        default = field.default_factory() if field.default_factory is not MISSING else field.default
        if field.name not in _NO_PARAMETERS and getattr(request, field.name) != default:
            yield field.name
    yield from request.extra
    own = request.extra.get(_ANTHROPIC)
    if isinstance(own, dict):
        yield from own
    if isinstance(request, CompletionRequest):
        yield from request.responses_only


def _input_tokens(request: CompletionRequest | EmbeddingRequest) -> int:
    if isinstance(request, CompletionRequest):
        return sum(prompt_tokens(call) for call in request.calls())
    sizes = (
        plain_input(len(text.encode("utf-8", "surrogatepass")), messages=0) if isinstance(text, str) else len(text)
        for text in request.inputs
    )
    return sum(sizes)


def _blocked(reason: str, param: str) -> GuardBlocked:
    return GuardBlocked(f"The request was blocked by the guard (bounds): {reason}.", param=param)
