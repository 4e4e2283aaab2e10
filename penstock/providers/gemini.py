"""Google's Gemini API: generateContent and embeddings.

Written from the vendor's reference (ai.google.dev/api) and its Python client, python-genai.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from penstock.completion import (
    CompletionRequest,
    CompletionResult,
    EmbeddingRequest,
    EmbeddingResult,
    Usage,
)
from penstock.completion.encoding import loads
from penstock.errors import InvalidRequest
from penstock.providers.exchange import StreamReader, WireProvider
from penstock.providers.failures import ErrorFrame, VendorError
from penstock.providers.framing import Decoder
from penstock.providers.gemini_answer import GenerateContentReader, read_answer
from penstock.providers.gemini_errors import FAILURES, read_error, read_refusal
from penstock.providers.gemini_framing import GeminiDecoder
from penstock.providers.gemini_request import build

#: the version that has all of the fields that are sent
API_VERSION = "v1beta"

#: fields of the format's own, for each text that is embedded
OWN_EMBEDDING_FIELDS = {"taskType", "title"}

_HAS_VERSION = re.compile(r"/v\d+[a-z\d]*$")


class Gemini(WireProvider):
    """The adapter of wire format `gemini`: `POST {base_url}/models/{model}:generateContent`.

    A base URL without a version gets one. An upstream model is a model's id, or a resource's name (`tunedModels/…`).
    """

    seal_mark = "gemini"

    failures = FAILURES

    def _path(self, upstream_model: str, *, stream: bool) -> str:
        return self._method(upstream_model, "streamGenerateContent?alt=sse" if stream else "generateContent")

    def _credentials(self, key: str) -> dict[str, str]:
        return {"x-goog-api-key": key} if key else {}

    def _body(self, request: CompletionRequest, upstream_model: str, *, stream: bool) -> dict[str, Any]:  # noqa: ARG002 — see WireProvider
        return build(request, upstream_model)

    def _answer(self, body: bytes, request: CompletionRequest) -> CompletionResult:
        return read_answer(loads(body), request)

    def _decoder(self) -> Decoder:
        return GeminiDecoder()

    def _reader(self, request: CompletionRequest) -> StreamReader:
        return GenerateContentReader(request)

    def _refusal(self, status: int, headers: Mapping[str, str], body: bytes) -> VendorError:  # noqa: ARG002 — see WireProvider
        return read_refusal(body)

    def _embedding_path(self, upstream_model: str) -> str:
        return self._method(upstream_model, "batchEmbedContents")

    def _embedding_body(self, request: EmbeddingRequest, upstream_model: str) -> dict[str, Any]:
        """One request for each text. `user` is a hint and passed over."""
        each: dict[str, Any] = {name: value for name, value in request.extra.items() if name in OWN_EMBEDDING_FIELDS}
        each["model"] = _resource(upstream_model)
        if request.dimensions is not None:
            each["outputDimensionality"] = request.dimensions
        texts = [text for text in request.inputs if isinstance(text, str)]
        if len(texts) < len(request.inputs):
            raise InvalidRequest("The model's provider embeds texts, not tokens.", param="input")
        return {"requests": [each | {"content": {"parts": [{"text": text}]}} for text in texts]}

    def _embedding_answer(self, body: bytes, request: EmbeddingRequest) -> EmbeddingResult:  # noqa: ARG002 — see WireProvider
        answer = loads(body)
        if answer.get("error"):
            raise ErrorFrame(read_error(answer["error"]))
        vectors = tuple(tuple(one["values"]) for one in answer["embeddings"])
        counted = answer.get("usageMetadata") or {}
        return EmbeddingResult(vectors, Usage(input_tokens=counted.get("promptTokenCount") or 0))

    def _method(self, upstream_model: str, method: str) -> str:
        version = "" if _HAS_VERSION.search(self.config.base_url) else f"/{API_VERSION}"
        return f"{version}/{quote(_resource(upstream_model))}:{method}"


def _resource(upstream_model: str) -> str:
    return upstream_model if "/" in upstream_model else f"models/{upstream_model}"
