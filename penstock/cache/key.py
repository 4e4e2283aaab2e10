"""The key of an answer: tenant, model where it is really served, and everything that could change what it says.

It is made of the whole request as the provider gets it. What is left out is named here, so a parameter that is added
to requests is part of the key from its first day.
"""

import hashlib
from dataclasses import replace
from typing import Any

import orjson

from penstock.completion import CompletionRequest
from penstock.providers.deployments import Deployment

#: raised when what an entry means has changed: older ones are then no longer found
_FORM = 1
#: fields that no model sees: how a request is counted, charged, kept or traced
_UNSEEN = frozenset(
    {"metadata", "safety_identifier", "service_tier", "store", "prompt_cache_key", "prompt_cache_retention"}
)
_ANTHROPIC = "anthropic"


def cache_key(tenant: str, deployment: Deployment, request: CompletionRequest) -> str | None:
    """The key, or None for a request that has no exact form (half a surrogate pair, a number out of range).

    Left out are the public name (the deployment says what it stands for), the models to fall back to, where its data
    must stay, `user`, and fields that no model sees.
    """
    provider = deployment.provider_config
    served = [deployment.upstream_model, deployment.provider, provider.wire_format, provider.base_url]
    told = replace(
        request,
        model="",
        fallback=(),
        residency=None,
        user=None,
        extra=_seen(request.extra),
        responses_only=_seen(request.responses_only),
    )
    # which headers and quirks the operator sets can change an answer too
    ours = [provider.api_version, sorted(provider.headers.items()), provider.quirks.model_dump(mode="json")]
    try:
        text = orjson.dumps([_FORM, tenant, served, ours, _kinds(told), told], option=orjson.OPT_SORT_KEYS)
    except (TypeError, ValueError):
        return None
    return hashlib.sha256(text).hexdigest()


def _seen(fields: dict[str, Any]) -> dict[str, Any]:
    seen = {name: value for name, value in fields.items() if name not in _UNSEEN}
    own = seen.get(_ANTHROPIC)
    if isinstance(own, dict):
        seen[_ANTHROPIC] = {name: value for name, value in own.items() if name not in _UNSEEN}
    return seen


def _kinds(request: CompletionRequest) -> list[str]:
    """The kind of each part: two kinds with the same fields would look the same as JSON."""
    return [
        type(part).__name__
        for messages in (request.messages, *request.others)
        for message in messages
        for part in message.parts
    ]
