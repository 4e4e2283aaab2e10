"""What the simulator answers: fixed by the request, bounded by its limits, ordered by directives."""

import json
from itertools import count
from statistics import mean, median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator import directives, tokens
from simulator.answers import WORDS, Draws, answer_choices, finished, lognormal, prose
from simulator.arithmetic import worked_answer
from simulator.openai_wire import duration
from simulator.options import Faults, SimulatorOptions
from simulator.question import Question, Transcript, directives_of
from simulator.refusal import RefusalError
from simulator.structured import instance


def question(text: str, **more) -> Question:
    transcript = Transcript()
    transcript.add("user", text)
    return Question(
        model="m",
        fingerprint=transcript.fingerprint("m"),
        input_tokens=transcript.input_tokens,
        body={},
        last=text,
        directives=directives_of(text),
        **more,
    )


def text_of(text: str, **more) -> str:
    return answer_choices(question(text, **more), 40, 0)[0].text


@given(st.text())
def test_tokens_join_to_the_text_and_are_as_many_as_counted(text):
    assert "".join(tokens.pieces(text)) == text
    assert len(tokens.pieces(text)) == tokens.count(text)


@given(st.text(), st.integers(0, 300))
def test_prose_has_exactly_as_many_words_and_tokens_as_asked(key, words):
    text = prose(key.encode("utf-8", "replace").decode(), words)
    assert len(text.split()) == words == tokens.count(text)


def test_the_word_list_fits_the_six_bits_it_is_indexed_with():
    assert len(set(WORDS)) == 64
    assert {len(word) for word in WORDS} == {3}


@given(st.text(), st.lists(st.text(min_size=1, max_size=3), max_size=4), st.integers(1, 30))
def test_a_finished_text_respects_stop_strings_and_limit(text, stop, limit):
    answer = finished(text, tuple(stop), limit)
    assert text.startswith(answer.text)
    assert answer.tokens == tokens.count(answer.text) <= limit
    assert not any(sequence in answer.text for sequence in stop)
    if answer.finish == "stop":
        assert answer.text == text
    elif answer.finish == "stop_sequence":
        assert text[len(answer.text) :].startswith(answer.stop_sequence)
    else:
        assert answer.tokens == limit


def test_same_request_same_answer_other_request_other_answer():
    assert text_of("Tell me a story.") == text_of("Tell me a story.")
    assert text_of("Tell me a story.") != text_of("Tell me another story.")
    assert len({answer.text for answer in answer_choices(question("Tell me a story.", n=3), 40, 0)}) == 3


def test_free_answers_have_the_mean_length_asked_for():
    sizes = [answer_choices(question(f"Story {number}."), 40, 0)[0].tokens for number in range(500)]
    assert 20 <= min(sizes) <= max(sizes) <= 60
    assert 38 < mean(sizes) < 42


@pytest.mark.parametrize(
    ("asked", "number"),
    [
        ("What is 12 + 30?", "42"),
        ("Calculate 2 + 3 * 4 - 10 / 4.", "11.5"),
        ("Ann has 5 apples. She buys 7 more. How many has she?", "12"),
        ("Ann has 12 apples and gave 5 to Bo. How many are left?", "7"),
        ("There are 6 boxes with 7 pens each. How many pens?", "42"),
        ("Question: How much is 1 + 1?\nAnswer: #### 2\n\nQuestion: What is 1,000 + 5?\nAnswer:", "1005"),
    ],
)
def test_arithmetic_is_worked_out_and_ends_with_the_number(asked, number):
    assert text_of(asked).splitlines()[-1] == f"#### {number}"


@pytest.mark.parametrize("asked", ["Hello there", "What is love?", "In 1969 there were 3 men. Who were they?"])
def test_other_questions_are_no_arithmetic(asked):
    assert worked_answer(asked) is None


@given(st.text().filter(lambda text: "]]" not in text and not text.endswith("]")))
def test_echo_answers_exactly_its_text(text):
    assert text_of(f"[[echo: {text}]]") == text


def test_directives_are_all_read():
    found = directives.parse(
        '[[tokens: 7]] [[fail: 2 503]] [[delay: 1.5]] [[cut]] [[stall]] [[tool: f {"a": [[1]]}]] [[x]]'
    )
    assert (found.tokens, found.fail, found.fail_status, found.delay_ms) == (7, 2, 503, 1.5)
    assert found.flags == {"cut", "stall"}
    assert found.tools == (("f", '{"a": [[1]]}'),)


@pytest.mark.parametrize(
    ("order", "status", "code"),
    [("[[error: 429]]", 429, None), ("[[error: 400 content_filter]]", 400, "content_filter")],
)
def test_an_error_may_name_its_code(order, status, code):
    found = directives.parse(order)
    assert (found.error, found.error_code) == (status, code)


@pytest.mark.parametrize(
    "order", ["[[tokens: many]]", "[[error: 200]]", "[[fail: -1]]", "[[tool: f [1]]]", "[[tool: f {]]"]
)
def test_an_unusable_directive_is_refused(order):
    with pytest.raises(RefusalError) as caught:
        directives_of(order)
    assert caught.value.status == 400


def test_draws_belong_to_the_call_and_not_to_the_order_of_arrival():
    assert Draws.of(1, "a", 1) == Draws.of(1, "a", 1)
    assert len({Draws.of(1, "a", 1), Draws.of(2, "a", 1), Draws.of(1, "b", 1), Draws.of(1, "a", 2)}) == 4


def test_draws_are_even_and_lognormal_keeps_its_median():
    draws = [Draws.of(0, "f", call).latency for call in range(2_000)]
    assert 0.47 < mean(draws) < 0.53
    assert 90 < median(lognormal(100, 0.8, draw) for draw in draws) < 110


_SCHEMAS = st.recursive(
    st.sampled_from(
        [
            {"type": "string", "minLength": 5, "maxLength": 9},
            {"type": "integer", "minimum": 3},
            {"type": "boolean"},
            {"enum": ["a", "b"]},
            {"const": 4},
            {"type": ["null", "string"]},
        ]
    ),
    lambda inner: (
        st.fixed_dictionaries({"type": st.just("array"), "items": inner, "minItems": st.integers(1, 3)})
        | st.dictionaries(st.text(max_size=3), inner, max_size=3).map(lambda p: {"type": "object", "properties": p})
        | st.fixed_dictionaries({"anyOf": st.lists(inner, min_size=1, max_size=2)})
    ),
    max_leaves=8,
)


def _fits(value, schema) -> bool:
    if "anyOf" in schema:
        return any(_fits(value, inner) for inner in schema["anyOf"])
    if "enum" in schema:
        return value in schema["enum"]
    if "const" in schema:
        return value == schema["const"]
    kind = schema["type"]
    if kind == "array":
        return len(value) >= schema["minItems"] and all(_fits(item, schema["items"]) for item in value)
    if kind == "object":
        return value.keys() == schema["properties"].keys() and all(
            _fits(value[name], inner) for name, inner in schema["properties"].items()
        )
    if kind == "string":
        return 5 <= len(value) <= 9
    if kind == "integer":
        return value >= 3
    return value is True if kind == "boolean" else value is None


@given(_SCHEMAS)
def test_an_instance_fits_its_schema(schema):
    assert _fits(instance(schema, (f"w{number}" for number in count())), schema)


def test_a_schema_that_refers_to_itself_ends():
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}
    value = instance({"$ref": "#/$defs/node", "$defs": {"node": node}}, iter(()))
    assert json.dumps(value).count("next") > 1


@pytest.mark.parametrize(("seconds", "shown"), [(0, "0ms"), (0.25, "250ms"), (6, "6s"), (8.64, "8.64s"), (90, "1m30s")])
def test_durations_are_written_as_the_vendor_writes_them(seconds, shown):
    assert duration(seconds) == shown


@pytest.mark.parametrize(
    "changes",
    [
        {"error_rat": 0.1},
        {"error_rate": 2},
        {"error_rate": 0.6, "hang_rate": 0.6},
        {"outage": "fire"},
        {"cut_rate": "x"},
        {"slow_ms": -1},
        {"slow_ms": "x"},
    ],
)
def test_faults_refuse_what_makes_no_sense(changes):
    with pytest.raises(ValueError, match=r"rate|outage|slow_ms"):
        Faults().changed(changes)


def test_an_outage_window_ends_by_itself():
    faults = Faults().changed({"outage": True, "outage_seconds": 3600})
    assert faults.outage_now() == "status"
    assert Faults().changed({"outage": True, "outage_seconds": -1}).outage_now() == "none"


@pytest.mark.parametrize(
    "wrong", [{"wire_format": "x"}, {"tokens_per_minute": 0}, {"latency_ms": -1}, {"reset_rate": 1.5}, {"charge": "x"}]
)
def test_options_refuse_what_makes_no_sense(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SimulatorOptions(**wrong)
