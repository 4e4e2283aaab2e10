"""Amazon Bedrock's wire format: routes, credentials, headers, errors, models.

A call carries the simulator's key as a bearer token, or is signed with it as the secret access key.
"""

from functools import partial
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import orjson

from simulator import aws_events, aws_signature, bedrock_answers, bedrock_converse, bedrock_embeddings
from simulator.limits import BucketState
from simulator.openai_fields import bearer
from simulator.prompt_cache import PromptCache
from simulator.refusal import RefusalError
from simulator.vendor import Endpoint, Head

_SERVICE = "bedrock"
_KINDS = {
    400: "ValidationException",
    401: "UnrecognizedClientException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    424: "ModelErrorException",
    429: "ThrottlingException",
    500: "InternalServerException",
    503: "ServiceUnavailableException",
}
_WORDS = {
    403: "You don't have access to the model with the specified model ID.",
    404: "Could not resolve the foundation model from the provided model identifier.",
    408: "Model has timed out in processing the request. Try your request again.",
    424: "An error occurred while processing the model.",
    429: "Too many requests, please wait before trying again.",
    503: "Bedrock is unable to process your request.",
}
_UNABLE = "The system encountered an unexpected error during processing. Try your request again."


def _error_frame(_: int) -> bytes:
    return aws_events.exception(
        "modelStreamErrorException",
        {"message": "The model stream failed.", "originalStatusCode": 500, "originalMessage": "It burst."},
    )


class BedrockWire:
    """See `simulator.vendor.Vendor`."""

    overload_status = 503

    def __init__(self) -> None:
        reply = partial(bedrock_answers.reply, cache=PromptCache())
        converse, stream = bedrock_converse.read, bedrock_converse.read_stream
        self.endpoints: tuple[Endpoint, ...] = (
            Endpoint("/model/{model}/converse", converse, reply),
            Endpoint("/model/{model}/converse-stream", stream, reply, _error_frame, stream_type=aws_events.MEDIA_TYPE),
            Endpoint("/model/{model}/invoke", bedrock_embeddings.read, bedrock_embeddings.reply, generates=False),
        )

    def authorise(self, headers: Head, api_key: str) -> None:
        """A bearer token, or a signature over the whole call."""
        scheme = headers.get("Authorization", "").partition(" ")[0]
        if scheme == aws_signature.SCHEME:
            aws_signature.check(headers, api_key, _SERVICE)
        elif not scheme:
            raise RefusalError(403, "Missing Authentication Token", code="MissingAuthenticationTokenException")
        elif bearer(headers) != api_key:
            raise RefusalError(403, "Authentication failed: Please make sure your API Key is valid.")

    def headers(self, request_id: str, buckets: list[BucketState], milliseconds: int) -> dict[str, str]:  # noqa: ARG002 - this vendor tells of neither limits nor time
        """The request's id, and nothing else."""
        return {"x-amzn-RequestId": str(uuid5(NAMESPACE_URL, request_id))}

    def error(self, refusal: RefusalError, request_id: str, buckets: list[BucketState]) -> tuple[bytes, dict[str, str]]:
        """A message; the kind of the error is in a header. Nobody is told when to come back."""
        told = refusal.code if refusal.code is not None and refusal.code.endswith("Exception") else None
        kind = told or _KINDS.get(refusal.status, _KINDS[500] if refusal.status >= 500 else _KINDS[400])
        headers = self.headers(request_id, buckets, 0)
        headers |= {"Content-Type": "application/json", "x-amzn-ErrorType": f"{kind}:http://internal.amazon.com/coral/"}
        message = refusal.message
        if refusal.limit is not None:
            message = f"Too many {refusal.limit.name}, please wait before trying again."
        return orjson.dumps({"message": message}), headers

    def unknown_model(self, model: str) -> RefusalError:  # noqa: ARG002 - this vendor does not repeat it
        """400: to this vendor it is a matter of spelling."""
        return RefusalError(400, "The provided model identifier is invalid.")

    def fault(self, status: int) -> RefusalError:
        """An error nobody is to blame for."""
        return RefusalError(status, _WORDS.get(status, _UNABLE if status >= 500 else "The request is not valid."))

    def models(self, names: tuple[str, ...]) -> dict[str, Any]:
        """The list of foundation models."""
        return {"modelSummaries": [self.model(name) for name in names]}

    def model(self, name: str) -> dict[str, Any]:
        """One entry of that list."""
        modalities = {"inputModalities": ["TEXT"], "outputModalities": ["TEXT"]}
        return {"modelId": name, "modelName": name, "providerName": "Simulator", **modalities}
