"""What a request asks of a model, and what a deployment offers, in the words of the policies."""

from dataclasses import replace

from penstock.completion import CompletionRequest, Document, EmbeddingRequest, Image, Message, ToolResult
from penstock.configuration import Config
from penstock.errors import InvalidRequest
from penstock.providers.deployments import Deployment
from penstock.routing.exchanges import prompt_of
from penstock.routing.policies import Candidate, Request
from penstock.rules import prices
from penstock.rules.context import least_tokens
from penstock.rules.estimates import Calibration, plain_input, prompt_tokens

#: what a model takes of which nothing was said
ANYTHING = frozenset({"text", "image", "document"})

_FRESH = Calibration()


def demand(request: CompletionRequest | EmbeddingRequest, tenant: str, residency: str | None = None) -> Request:
    """What a request needs, as far as can be told before it is asked: tokens are estimated.

    Its answer is to be as long as `max_tokens` says, so models that end earlier are not asked.
    """
    if isinstance(request, EmbeddingRequest):
        sizes = [plain_input(len(one.encode())) if isinstance(one, str) else len(one) for one in request.inputs]
        texts = [one for one in request.inputs if isinstance(one, str)]
        return Request(
            texts[0] if texts else "",
            tenant,
            sum(sizes),
            0,
            budget=request.max_cost,
            residency=residency,
            needs_context=max(sizes),
        )
    sizes = [prompt_tokens(call) for call in request.calls()]
    each = _FRESH.estimate("", 0, request.max_tokens).output
    return Request(
        prompt=prompt_of(request),
        tenant=tenant,
        input_tokens=sum(sizes),
        output_tokens=each * request.n * len(sizes),
        modalities=_modalities(request),
        tools=bool(request.tools),
        budget=request.max_cost,
        residency=residency,
        needs_context=max(sizes) + each,
        needs_output=request.max_tokens or 0,
    )


def demanded_residency(config: Config, request: CompletionRequest | EmbeddingRequest, tenant: str) -> str | None:
    """Where the data of a request must stay: what it demands itself, or its tenant; None: anywhere.

    Raises:
        InvalidRequest: it demands another place than its tenant, which it cannot undo.
    """
    demanded = config.residency_of(tenant)
    if demanded is not None and request.residency not in (None, demanded):
        message = f"Invalid value for 'residency': the data of this tenant must stay in {demanded}."
        raise InvalidRequest(message, param="residency", code="invalid_value")
    return demanded or request.residency


def bare(needed: Request, request: CompletionRequest | EmbeddingRequest) -> Request:
    """The same without what is only estimated or can be lowered: what certainly cannot be served does not fit it."""
    return replace(needed, needs_context=least_tokens(request), needs_output=0)


def candidate(deployment: Deployment) -> Candidate:
    """The row of a deployment."""
    model = deployment.model_config
    price = prices.per_million(
        deployment.price,
        deployment.upstream_model,
        deployment.provider_config.base_url,
        discount=model.discount,
    )
    return Candidate(
        name=deployment.name,
        input_price=price[0] if price else None,
        output_price=price[1] if price else None,
        context=deployment.context,
        max_output=deployment.max_output,
        quality=model.quality,
        modalities=ANYTHING if model.modalities is None else frozenset({"text", *model.modalities}),
        tools=model.tools,
        tenants=model.tenants,
        residency=model.residency,
    )


def _modalities(request: CompletionRequest) -> frozenset[str]:
    found = {"text"}
    for messages in (request.messages, *request.others):
        for message in messages:
            found |= _kinds(message)
    return frozenset(found)


def _kinds(message: Message) -> set[str]:
    found = set()
    for part in message.parts:
        if isinstance(part, Image) or (isinstance(part, ToolResult) and part.images):
            found.add("image")
        elif isinstance(part, Document) and part.media_type != "text/plain":
            found.add("document")
    return found
