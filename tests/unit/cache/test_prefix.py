"""Where a prompt may be marked, and that a mark changes nothing else."""

from dataclasses import replace

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from penstock.cache.prefix import LEAST_TOKENS, help_for, is_marked, keyed, marked, places
from penstock.completion import CompletionRequest, Message, Reasoning, Text, Tool
from penstock.configuration import Config
from penstock.providers.deployments import Deployments

LONG = "x" * LEAST_TOKENS * 4


def asked(*messages: Message, **fields: object) -> CompletionRequest:
    return CompletionRequest(model="m", messages=messages, **fields)  # type: ignore[arg-type]


def user(*texts: str) -> Message:
    return Message("user", tuple(map(Text, texts)))


def test_lines_with_one_beginning_share_its_place_and_none_after_it() -> None:
    first, second = (places(asked(Message("system", (Text(LONG),)), user(text))) for text in ("a", "b"))
    assert [place.digest for place in first] == [place.digest for place in second]
    assert len(first) == 1


def test_a_document_before_the_question_in_one_turn_is_a_place() -> None:
    (place,) = places(asked(user(LONG, "What does it say?")))
    assert (place.message, place.part) == (0, 0)


def test_short_prompts_and_last_parts_have_no_place() -> None:
    assert places(asked(Message("system", (Text("short"),)), user("a"))) == []
    assert places(asked(user(LONG))) == []


def test_tools_and_the_system_prompt_come_first_wherever_they_stand() -> None:
    late = asked(user("hi"), Message("system", (Text(LONG),)), user("a"))
    early = asked(Message("system", (Text(LONG),)), user("hi"), user("a"))
    assert places(late)[0].digest == places(early)[0].digest
    with_tool = replace(early, tools=(Tool("t", {}),))
    assert places(with_tool)[0].digest != places(early)[0].digest


def test_thoughts_cannot_carry_a_mark() -> None:
    thought = Message("assistant", (Reasoning(LONG, "sig"), Text("yes")))
    assert [(p.message, p.part) for p in places(asked(user("a"), thought, user("b")))] == [(1, 1)]


@given(st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=4))
def test_a_mark_moves_no_place(texts: list[str]) -> None:
    request = asked(Message("system", (Text(LONG),)), user(*texts), user("end"))
    found = places(request)
    for place in found:
        done = marked(request, place)
        assert places(done) == found
        assert is_marked(done)
    assert not is_marked(request)


def test_prompts_with_one_beginning_have_one_key_also_while_they_grow() -> None:
    system = Message("system", (Text(LONG),))
    first, second = keyed(asked(system, user("a"))), keyed(asked(system, user("b")))
    grown = keyed(asked(system, user("a"), Message("assistant", (Text("yes"),)), user("c")))
    other = keyed(asked(Message("system", (Text(LONG + "!"),)), user("a")))
    keys = [request.extra["prompt_cache_key"] for request in (first, second, grown, other)]
    assert keys[0] == keys[1] == keys[2] != keys[3]
    assert len(keys[0]) <= 64, "the vendor's limit"


def test_a_callers_own_key_stays_and_a_short_prompt_has_none() -> None:
    own = asked(Message("system", (Text(LONG),)), user("a"), extra={"prompt_cache_key": "mine"})
    assert keyed(own) is own
    short = asked(user("a", "b"))
    assert keyed(short) is short


CONFIG = """
providers:
  one: {wire_format: anthropic, base_url: "http://127.0.0.1:1"}
  two: {wire_format: bedrock, base_url: "http://127.0.0.1:2"}
  three: {wire_format: openai, base_url: "http://127.0.0.1:3"}
models:
  claude: {provider: one}
  left-alone: {provider: one, prompt_cache: "off"}
  claude-there: {provider: two, upstream_model: eu.anthropic.claude-sonnet-4}
  mistral-there: {provider: two, upstream_model: mistral.large}
  gpt: {provider: three}
  gpt-keyed: {provider: three, prompt_cache: key}
"""


def test_which_model_is_helped_and_how() -> None:
    deployments = Deployments(Config.model_validate(yaml.safe_load(CONFIG)))
    told = {deployment.name: help_for(deployment, 10 * LEAST_TOKENS) for deployment in deployments}
    assert told == {
        "claude": "marks",
        "left-alone": None,
        "claude-there": "marks",
        "mistral-there": None,
        "gpt": None,
        "gpt-keyed": "key",
    }
    assert {help_for(deployment, 10) for deployment in deployments} == {None}


def test_a_key_is_for_vendors_that_know_one() -> None:
    wrong = yaml.safe_load(CONFIG)
    wrong["models"]["claude"]["prompt_cache"] = "key"
    with pytest.raises(ValueError, match=r"models\.claude\.prompt_cache"):
        Config.model_validate(wrong)
