"""No two requests that could be answered differently have one key."""

import subprocess
import sys
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.cache.key import cache_key
from penstock.completion import (
    CompletionRequest,
    Document,
    EmbeddingRequest,
    Image,
    Message,
    Reasoning,
    ResponseFormat,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from penstock.configuration import Config
from penstock.providers.deployments import Deployment, Deployments

CONFIG = Config.model_validate(
    {
        "providers": {
            "one": {"wire_format": "openai", "base_url": "http://127.0.0.1:1"},
            "two": {"wire_format": "openai", "base_url": "http://127.0.0.1:2"},
        },
        "models": {
            "m": {"provider": "one"},
            "alias": {"provider": "one", "upstream_model": "m"},
            "newer": {"provider": "one", "upstream_model": "m-2"},
            "elsewhere": {"provider": "two", "upstream_model": "m"},
        },
    }
)
DEPLOYMENTS = Deployments(CONFIG)
#: what changes no answer, and so is no part of the key
UNSEEN = {"residency", "max_cost", "model", "fallback", "user"}

WORD = st.text(alphabet='ab\u00e9"[', max_size=3)
NUMBER = st.one_of(st.none(), st.sampled_from([0, 0.5, 1, 2]))
THING = st.dictionaries(WORD, st.one_of(WORD, st.integers(0, 2), st.none()), max_size=2)
PART = st.one_of(
    st.builds(Text, WORD),
    st.builds(Reasoning, WORD, st.one_of(st.none(), WORD), st.booleans()),
    st.builds(Image, url=WORD, detail=st.one_of(st.none(), WORD)),
    st.builds(Document, url=WORD),
    st.builds(ToolCall, WORD, WORD, WORD),
    st.builds(ToolResult, WORD, WORD),
)
MESSAGES = st.lists(
    st.builds(Message, st.sampled_from(["system", "user", "assistant"]), st.lists(PART, max_size=2).map(tuple)),
    max_size=3,
).map(tuple)
REQUEST = st.builds(
    CompletionRequest,
    model=st.just("m"),
    messages=MESSAGES,
    others=st.lists(MESSAGES, max_size=1).map(tuple),
    max_tokens=st.one_of(st.none(), st.integers(1, 3)),
    temperature=NUMBER,
    top_p=NUMBER,
    top_k=st.one_of(st.none(), st.integers(1, 2)),
    n=st.integers(1, 2),
    stop=st.lists(WORD, max_size=2).map(tuple),
    names_stop=st.booleans(),
    seed=st.one_of(st.none(), st.integers(0, 1)),
    presence_penalty=NUMBER,
    frequency_penalty=NUMBER,
    logit_bias=st.one_of(st.none(), st.dictionaries(WORD, st.sampled_from([0.0, 1.0]), max_size=1)),
    logprobs=st.booleans(),
    top_logprobs=st.one_of(st.none(), st.integers(0, 1)),
    tools=st.lists(st.builds(Tool, WORD, THING, st.one_of(st.none(), WORD)), max_size=1).map(tuple),
    tool_choice=st.one_of(st.none(), st.builds(ToolChoice, st.sampled_from(["auto", "none"]))),
    parallel_tool_calls=st.one_of(st.none(), st.booleans()),
    response_format=st.one_of(st.none(), st.builds(ResponseFormat, st.sampled_from(["text", "json_object"]))),
    reasoning_effort=st.one_of(st.none(), st.sampled_from(["low", "high"])),
    reasoning_tokens=st.one_of(st.none(), st.integers(1, 2)),
    extra=THING,
    responses_only=THING,
)


EMBEDDED = st.builds(
    EmbeddingRequest,
    model=st.just("m"),
    inputs=st.lists(st.one_of(WORD, st.lists(st.integers(0, 2), max_size=2).map(tuple)), max_size=2).map(tuple),
    dimensions=st.one_of(st.none(), st.integers(1, 2)),
    extra=THING,
)


def key(request: CompletionRequest | EmbeddingRequest, tenant: str = "t", model: str = "m") -> str | None:
    return cache_key(tenant, deployment(model), request)


def deployment(name: str) -> Deployment:
    found = DEPLOYMENTS.get(name)
    assert found
    return found


def kinds(request: CompletionRequest) -> list[type]:
    turns = [message for messages in (request.messages, *request.others) for message in messages]
    return [type(part) for message in turns for part in message.parts]


@given(REQUEST, REQUEST)
def test_equal_keys_are_equal_requests(one: CompletionRequest, other: CompletionRequest):
    assert (key(one) == key(other)) == (one == other and kinds(one) == kinds(other))


@given(REQUEST, st.data())
def test_every_parameter_is_part_of_the_key(request: CompletionRequest, data: st.DataObject):
    """Also one that is added tomorrow: the fields are asked for, not listed."""
    name = data.draw(st.sampled_from(sorted({field.name for field in fields(request)} - UNSEEN)))
    other = replace(request, **{name: getattr(data.draw(REQUEST), name)})
    same = getattr(request, name) == getattr(other, name) and kinds(request) == kinds(other)
    assert (key(request) == key(other)) == same


def test_every_field_is_drawn():
    """A field that the strategy does not know would be tested by nobody."""
    drawn = set(REQUEST.wrapped_strategy.kwargs) | UNSEEN  # type: ignore[attr-defined]
    assert {field.name for field in fields(CompletionRequest)} - drawn == set()


@given(REQUEST, st.text(max_size=5), st.text(max_size=5))
def test_tenants_share_nothing(request: CompletionRequest, one: str, other: str):
    assert (key(request, one) == key(request, other)) == (one == other)


@given(REQUEST)
def test_what_serves_is_part_of_the_key_and_its_public_name_is_not(request: CompletionRequest):
    assert key(request, model="alias") == key(request)
    assert len({key(request), key(request, model="newer"), key(request, model="elsewhere")}) == 3


@pytest.mark.parametrize(
    "unseen",
    [
        {"user": "u"},
        {"max_cost": 1.0},
        {"residency": "eu"},
        {"fallback": ("x",)},
        {"extra": {"metadata": {"a": "b"}}},
        {"extra": {"store": True}},
    ],
)
def test_what_no_model_sees_is_left_out(unseen: dict[str, Any]):
    request = CompletionRequest(model="m", messages=(Message("user", (Text("x"),)),))
    assert key(replace(request, **unseen)) == key(request)


def test_what_has_no_exact_form_is_not_cached():
    request = CompletionRequest(model="m", messages=(Message("user", (Text("\ud83d"),)),))
    assert key(request) is None
    assert key(replace(request, messages=(), extra={"n": 2**80})) is None


@given(EMBEDDED, EMBEDDED)
def test_equal_keys_are_equal_embeddings(one: EmbeddingRequest, other: EmbeddingRequest):
    assert (key(one) == key(other)) == (one == other)


@given(EMBEDDED, st.text(max_size=5), st.text(max_size=5))
def test_tenants_share_no_embeddings(request: EmbeddingRequest, one: str, other: str):
    assert (key(request, one) == key(request, other)) == (one == other)


def test_embeddings_are_no_completions():
    drawn = set(EMBEDDED.wrapped_strategy.kwargs) | UNSEEN  # type: ignore[attr-defined]
    assert {field.name for field in fields(EmbeddingRequest)} - drawn == set()
    assert key(EmbeddingRequest(model="m", inputs=())) != key(CompletionRequest(model="m", messages=()))


_OF_A_VENDOR_WITH_QUIRKS = """
from penstock.configuration import Config
from penstock.providers.deployments import Deployments
quirks = {"unsupported": ["seed", "n", "top_k", "logit_bias"], "dropped": ["user", "name", "store"]}
provider = {"wire_format": "openai", "base_url": "http://127.0.0.1:1", "quirks": quirks}
config = Config.model_validate({"providers": {"one": provider}, "models": {"m": {"provider": "one"}}})
print(Deployments(config).get("m").fingerprint)
"""


def test_every_process_gives_a_deployment_the_same_fingerprint():
    """Else no worker would find what another has kept: the order of a set is another one in every process."""
    found = {
        subprocess.run(
            [sys.executable, "-c", _OF_A_VENDOR_WITH_QUIRKS],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(found) == 1
    assert len(found.pop().strip()) == 64
