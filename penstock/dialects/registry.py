"""The dialects by name, as they are stored with a job, and by the endpoint that a batch names."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from penstock.completion import CompletionRequest, EmbeddingRequest
from penstock.dialects import (
    anthropic_messages,
    job,
    openai_chat,
    openai_completions,
    openai_embeddings,
    openai_responses,
)
from penstock.dialects.facts import JobFacts


@dataclass(frozen=True, slots=True)
class Dialect:
    """One way to say things.

    `endpoint` is the path that requests are posted to, None where a batch cannot hold them; `in_files` says whether a
    batch made from an uploaded file may name it. `answered` says whether the model writes an answer, which takes tokens
    too; `prompt` is the field of the prompt.
    """

    name: str
    endpoint: str | None
    in_files: bool
    parse: Callable[[dict[str, Any]], CompletionRequest | EmbeddingRequest]
    render: Callable[[JobFacts], dict[str, Any]]
    render_error: Callable[[dict[str, Any]], dict[str, Any]]
    answered: bool = True
    prompt: str = "messages"


def _rows() -> tuple[Dialect, ...]:
    chat, responses, messages = openai_chat, openai_responses, anthropic_messages
    text, vectors = openai_completions, openai_embeddings
    return (
        Dialect("openai.chat", "/v1/chat/completions", True, chat.parse, chat.render, chat.render_error),
        Dialect(
            "openai.responses",
            "/v1/responses",
            True,
            responses.parse,
            responses.render,
            responses.render_error,
            prompt="input",
        ),
        Dialect(
            "openai.completions", "/v1/completions", True, text.parse, text.render, text.render_error, prompt="prompt"
        ),
        Dialect(
            "openai.embeddings",
            "/v1/embeddings",
            True,
            vectors.parse,
            vectors.render,
            vectors.render_error,
            answered=False,
            prompt="input",
        ),
        Dialect("anthropic.messages", "/v1/messages", False, messages.parse, messages.render, messages.render_error),
        Dialect("job", None, False, job.parse, job.render, job.render_error),
    )


_BY_NAME = {row.name: row for row in _rows()}
_BY_ENDPOINT = {row.endpoint: row for row in _BY_NAME.values() if row.endpoint is not None}


def get(name: str) -> Dialect:
    """The dialect a job was stored with.

    Raises:
        KeyError: no dialect has this name.
    """
    return _BY_NAME[name]


def for_endpoint(endpoint: str) -> Dialect:
    """The dialect of the requests of a batch.

    Raises:
        KeyError: batches do not serve this endpoint.
    """
    return _BY_ENDPOINT[endpoint]


def endpoints() -> tuple[str, ...]:
    """The endpoints that a batch made from an uploaded file may name."""
    return tuple(row.endpoint for row in _BY_NAME.values() if row.in_files and row.endpoint is not None)


def names() -> tuple[str, ...]:
    """Every dialect that a job can be stored with."""
    return tuple(_BY_NAME)
