"""The key of an answer: tenant, model where it is really served, and everything that could change what it says.

It is made of the whole request as the provider gets it. What is left out is named here, so a parameter that is added
to requests is part of the key from its first day.
"""

import hashlib
from dataclasses import fields
from operator import attrgetter
from typing import Any

import orjson

from penstock.completion import CompletionRequest, EmbeddingRequest
from penstock.providers.deployments import Deployment

#: raised when what an entry means has changed: older ones are then no longer found
_FORM = 2
#: fields that no model sees: how a request is counted, charged, kept or traced
_UNSEEN = frozenset(
    {"metadata", "safety_identifier", "service_tier", "store", "prompt_cache_key", "prompt_cache_retention"}
)
_ANTHROPIC = "anthropic"
#: no part of what is asked: the public name (the deployment says what it stands for), where to go after a failure and
#: where its data must stay, what it may cost, who asks. The last two are looked through for fields that no model sees.
_APART = ("model", "fallback", "residency", "max_cost", "user", "extra", "responses_only")
_told = attrgetter(*(field.name for field in fields(CompletionRequest) if field.name not in _APART))
_embedded = attrgetter(*(field.name for field in fields(EmbeddingRequest) if field.name not in _APART))


def cache_key(tenant: str, deployment: Deployment, request: CompletionRequest | EmbeddingRequest) -> str | None:
    """The key, or None for a request that has no exact form (half a surrogate pair, a number out of range).

    Left out are the public name, the models to fall back to, `residency`, `max_cost`, `user`, and fields that no model
    sees.
    """
    asked: tuple[Any, ...]
    if isinstance(request, EmbeddingRequest):
        asked = ("embeddings", _embedded(request), seen(request.extra))
    else:
        asked = ("completion", _kinds(request), _told(request), seen(request.extra), seen(request.responses_only))
    try:
        text = orjson.dumps((_FORM, tenant, deployment.fingerprint, asked), option=orjson.OPT_SORT_KEYS)
    except (TypeError, ValueError):
        return None
    return hashlib.sha256(text).hexdigest()


def seen(fields: dict[str, Any]) -> dict[str, Any]:
    """Those fields of a request that a model sees."""
    left = {name: value for name, value in fields.items() if name not in _UNSEEN}
    own = left.get(_ANTHROPIC)
    if isinstance(own, dict):
        left[_ANTHROPIC] = {name: value for name, value in own.items() if name not in _UNSEEN}
    return left


def _kinds(request: CompletionRequest) -> list[str]:
    """The kind of each part: two kinds with the same fields would look the same as JSON."""
    return [
        type(part).__name__
        for messages in (request.messages, *request.others)
        for message in messages
        for part in message.parts
    ]
