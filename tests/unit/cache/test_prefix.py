"""Where a prompt may be marked, and that a mark changes nothing else."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from penstock.cache.prefix import LEAST_TOKENS, is_marked, marked, places
from penstock.completion import CompletionRequest, Message, Reasoning, Text, Tool

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
