"""OpenAI's chat completions and embeddings, as spoken by OpenAI and by every server compatible with it."""

import base64
import struct
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from penstock.completion import CompletionRequest, CompletionResult, EmbeddingRequest, EmbeddingResult, Usage
from penstock.completion.encoding import loads
from penstock.errors import (
    InvalidRequest,
    ProviderContentRefused,
    ProviderOverloaded,
    ProviderRateLimited,
    ProviderRejected,
    ProviderTimeout,
    ProviderUnauthorized,
)
from penstock.providers.exchange import StreamReader, WireProvider
from penstock.providers.failures import ErrorFrame, FailureTable, VendorError
from penstock.providers.openai_chat_reader import ChatReader, read_answer
from penstock.providers.openai_chat_request import adapted, build

_FLAGGED = "content_policy_violation"

#: what compatible vendors say beyond the common table, each from its own list of errors: OpenAI (`invalid_prompt` is a
#: prompt its policy flags), OpenRouter (see `_refusal`), Moonshot, Z.AI (numbers from 1113), DashScope, and MiniMax,
#: whose numbers come in an answer of status 200
CHAT_FAILURES: FailureTable = {
    (400, "invalid_prompt"): ProviderContentRefused,
    (None, "invalid_prompt"): ProviderContentRefused,
    (403, _FLAGGED): ProviderContentRefused,
    (429, "exceeded_current_quota_error"): ProviderRejected,
    (429, "engine_overloaded_error"): ProviderOverloaded,
    (400, "1301"): ProviderContentRefused,
    (429, "1113"): ProviderRejected,
    (400, "data_inspection_failed"): ProviderContentRefused,
    (None, "1000"): ProviderOverloaded,
    (None, "1001"): ProviderTimeout,
    (None, "1002"): ProviderRateLimited,
    (None, "1004"): ProviderUnauthorized,
    (None, "1008"): ProviderRejected,
    (None, "1013"): ProviderOverloaded,
    (None, "1026"): ProviderContentRefused,
    (None, "1027"): ProviderContentRefused,
    (None, "2013"): ProviderRejected,
    (None, "2049"): ProviderUnauthorized,
}


class OpenAIChat(WireProvider):
    """The adapter of wire format `openai`: `POST {base_url}/chat/completions` and `POST {base_url}/embeddings`."""

    seal_mark = "openai-chat"

    failures: ClassVar[FailureTable] = CHAT_FAILURES

    def _path(self, upstream_model: str, *, stream: bool) -> str:  # noqa: ARG002 — see WireProvider
        return "/chat/completions"

    def _credentials(self, key: str) -> dict[str, str]:
        return {"authorization": f"Bearer {key}"} if key else {}

    def _body(self, request: CompletionRequest, upstream_model: str, *, stream: bool) -> dict[str, Any]:
        return build(request, upstream_model, stream=stream, quirks=self.config.quirks)

    def _answer(self, body: bytes, request: CompletionRequest) -> CompletionResult:
        return read_answer(loads(body), request)

    def _reader(self, request: CompletionRequest) -> StreamReader:
        return ChatReader(request)

    def _tells_stop(self, request: CompletionRequest, upstream_model: str) -> bool:  # noqa: ARG002 — see WireProvider
        return self.config.quirks.tells_stop

    def _refusal(self, status: int, headers: Mapping[str, str], body: bytes) -> VendorError:
        """OpenRouter answers 403 to a wrong key and to a flagged prompt; only the second has reasons."""
        told = super()._refusal(status, headers, body)
        if status == 403 and _is_flagged(body):
            return replace(told, code=_FLAGGED)
        return told

    def _embedding_path(self, upstream_model: str) -> str:  # noqa: ARG002 — see WireProvider
        return "/embeddings"

    def _embedding_body(self, request: EmbeddingRequest, upstream_model: str) -> dict[str, Any]:
        if len({isinstance(text, str) for text in request.inputs}) > 1:
            raise InvalidRequest("Texts and tokens cannot be embedded in one call.", param="input")
        body: dict[str, Any] = {
            **request.extra,
            "model": upstream_model,
            "input": [text if isinstance(text, str) else list(text) for text in request.inputs],
            # base64 would be shorter, but not every server knows it
            "encoding_format": "float",
        }
        if request.dimensions is not None:
            body["dimensions"] = request.dimensions
        if request.user is not None:
            body["user"] = request.user
        return adapted(body, self.config.quirks)

    def _embedding_answer(self, body: bytes, request: EmbeddingRequest) -> EmbeddingResult:  # noqa: ARG002
        return read_embeddings(loads(body))


def read_embeddings(answer: Any) -> EmbeddingResult:
    """An answer with embeddings, in the order of their indexes.

    Raises:
        ErrorFrame: it holds an error.
        ValueError: a vector is not one.
    """
    if answer.get("error") or answer.get("object") == "error":
        raise ErrorFrame(answer.get("error") or answer)
    data = sorted(answer["data"], key=lambda entry: entry.get("index") or 0)
    usage = answer.get("usage") or {}
    return EmbeddingResult(
        vectors=tuple(_vector(entry["embedding"]) for entry in data),
        usage=Usage(input_tokens=usage.get("prompt_tokens") or usage.get("total_tokens") or 0),
        upstream_model=answer.get("model"),
    )


def _vector(value: Any) -> tuple[float, ...]:
    """Numbers, or base64 of little-endian 32-bit floats: servers exist that send these whatever was asked for."""
    if isinstance(value, str):
        data = base64.b64decode(value, validate=True)
        if len(data) % 4:
            raise ValueError("an embedding is not made of 32-bit floats")
        return struct.unpack(f"<{len(data) // 4}f", data)
    return tuple([float(number) for number in value])


def _is_flagged(body: bytes) -> bool:
    try:
        error = loads(body)["error"]
        return bool(error["metadata"].get("reasons") or error["metadata"].get("flagged_input"))
    except (ValueError, TypeError, LookupError, AttributeError):
        return False  # another server's 403
