"""Amazon Bedrock: Converse and ConverseStream, and embeddings by InvokeModel.

After the service model of Bedrock Runtime (`bedrock-runtime/2023-09-30` in botocore 1.44) and its API reference.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ClassVar
from urllib.parse import quote

import httpx

from penstock.completion import CompletionRequest, CompletionResult, EmbeddingRequest, EmbeddingResult, Usage
from penstock.completion.encoding import loads
from penstock.configuration import ProviderConfig
from penstock.errors import ProviderOverloaded, ProviderRateLimited, ProviderRejected, ProviderTimeout
from penstock.providers import bedrock_embeddings, bedrock_request
from penstock.providers.aws_event_stream import STREAM_TYPE, EventStreamDecoder
from penstock.providers.aws_signature import Signer
from penstock.providers.base import OnHeaders
from penstock.providers.bedrock_answers import ConverseReader, read_answer, read_error
from penstock.providers.bedrock_models import family_of
from penstock.providers.exchange import StreamReader, WireProvider
from penstock.providers.failures import FailureTable, VendorError
from penstock.providers.framing import Decoder

_SERVICE = "bedrock"
#: how many tokens of input a call of InvokeModel had; bodies of some models do not say
_TOKENS_HEADER = "x-amzn-bedrock-input-token-count"


class Bedrock(WireProvider):
    """The adapter of wire format `bedrock`: `POST {base_url}/model/{model}/converse`.

    Calls carry the provider's key as a bearer token, or are signed with the credentials of `aws`.
    """

    seal_mark = "anthropic"

    failures: ClassVar[FailureTable] = {
        (400, "ServiceQuotaExceededException"): ProviderRateLimited,
        (400, "ThrottlingException"): ProviderRateLimited,
        (424, None): ProviderOverloaded,  # the model failed, not the request
        (429, "ModelNotReadyException"): ProviderOverloaded,  # it is being loaded: no quota of ours is used up
        (None, "internalServerException"): ProviderOverloaded,
        (None, "modelStreamErrorException"): ProviderOverloaded,
        (None, "modelTimeoutException"): ProviderTimeout,
        (None, "serviceUnavailableException"): ProviderOverloaded,
        (None, "throttlingException"): ProviderRateLimited,
        (None, "validationException"): ProviderRejected,
    }
    stream_type: ClassVar[str] = STREAM_TYPE

    def __init__(
        self,
        name: str,
        config: ProviderConfig,
        client: httpx.AsyncClient,
        *,
        max_output: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__(name, config, client, max_output=max_output)
        self._signer = _signer(config)

    def _path(self, upstream_model: str, *, stream: bool) -> str:
        return f"/model/{_segment(upstream_model)}/converse" + ("-stream" if stream else "")

    def _credentials(self, key: str) -> dict[str, str]:
        return {"authorization": f"Bearer {key}"} if key else {}

    def _signed(self, url: httpx.URL, headers: httpx.Headers, content: bytes) -> httpx.Headers:
        if self._signer is None:
            return headers
        # AWS wants its own headers signed; the others may be rewritten on the way.
        fixed = {name: value for name, value in headers.items() if name in {"host", "content-type"} or _is_aws(name)}
        target = url.raw_path.decode("ascii")
        return httpx.Headers({**headers, **self._signer.sign("POST", target, fixed, content, datetime.now(UTC))})

    def _body(self, request: CompletionRequest, upstream_model: str, *, stream: bool) -> dict[str, Any]:
        return bedrock_request.build(request, upstream_model, stream=stream)

    def _answer(self, body: bytes, request: CompletionRequest) -> CompletionResult:  # noqa: ARG002 — see WireProvider
        return read_answer(loads(body))

    def _decoder(self) -> Decoder:
        return EventStreamDecoder()

    def _reader(self, request: CompletionRequest) -> StreamReader:  # noqa: ARG002 — see WireProvider
        return ConverseReader()

    def _tells_stop(self, request: CompletionRequest, upstream_model: str) -> bool:  # noqa: ARG002 — see WireProvider
        return family_of(upstream_model).tells_stop

    def _refusal(self, status: int, headers: Mapping[str, str], body: bytes) -> VendorError:  # noqa: ARG002 — see WireProvider
        return read_error(body, headers.get("x-amzn-errortype"))

    async def embed(
        self, request: EmbeddingRequest, upstream_model: str, *, on_headers: OnHeaders | None = None
    ) -> EmbeddingResult:
        """See `Provider.embed`. A model takes so many texts in one call; more are several calls, one after the other.

        Each of them may take `Timeouts.total`.
        """
        at_once = bedrock_embeddings.texts_at_once(upstream_model)
        bedrock_embeddings.check(request)
        shares = [request.inputs[at : at + at_once] for at in range(0, len(request.inputs), at_once)]
        results = [
            await self._embed_share(replace(request, inputs=share), upstream_model, on_headers) for share in shares
        ]
        tokens = sum(result.usage.input_tokens for result in results)
        return EmbeddingResult(tuple(vector for result in results for vector in result.vectors), Usage(tokens))

    async def _embed_share(
        self, request: EmbeddingRequest, upstream_model: str, on_headers: OnHeaders | None
    ) -> EmbeddingResult:
        told: dict[str, str] = {}

        def keep(status: int, headers: Mapping[str, str]) -> None:
            told["tokens"] = headers.get(_TOKENS_HEADER, "")
            if on_headers is not None:
                on_headers(status, headers)

        result = await super().embed(request, upstream_model, on_headers=keep)
        if not result.usage.input_tokens and told["tokens"].isascii() and told["tokens"].isdigit():
            return replace(result, usage=Usage(int(told["tokens"])))
        return result

    def _embedding_path(self, upstream_model: str) -> str:
        return f"/model/{_segment(upstream_model)}/invoke"

    def _embedding_body(self, request: EmbeddingRequest, upstream_model: str) -> dict[str, Any]:
        return bedrock_embeddings.build(request, upstream_model)

    def _embedding_answer(self, body: bytes, request: EmbeddingRequest) -> EmbeddingResult:  # noqa: ARG002 — see WireProvider
        return bedrock_embeddings.read(loads(body))


def _signer(config: ProviderConfig) -> Signer | None:
    aws = config.aws
    if aws is None or aws.access_key_id is None or aws.secret_access_key is None:
        return None
    return Signer(
        aws.access_key_id,
        aws.secret_access_key.get_secret_value(),
        aws.region,
        _SERVICE,
        aws.session_token.get_secret_value() if aws.session_token is not None else None,
    )


def _segment(upstream_model: str) -> str:
    """A model id or ARN in a path.

    A colon stays as it is, which the syntax of URLs allows: the transport would write it so in any case, and a
    signature is over what is on the wire.
    """
    return quote(upstream_model, safe=":")


def _is_aws(name: str) -> bool:
    return name.startswith("x-amz-")
