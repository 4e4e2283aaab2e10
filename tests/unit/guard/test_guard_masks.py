"""Masking is reversible, whatever the text, and whatever way a stream is cut."""

import json

from hypothesis import example, given
from hypothesis import strategies as st

from penstock.completion import CompletionResult, Finished, PartDelta, PartStarted, ResultBuilder, Usage
from penstock.completion.events import CompletionEvent
from penstock.guard.findings import Span
from penstock.guard.masks import Mask, Unmasking, unmasked

#: letters of names and brackets often, so that half names and look-alikes are common
TEXT = st.text(alphabet=st.sampled_from('[]EMAIL_12 ab"\\é'), max_size=40)


def folded(events: list[CompletionEvent]) -> CompletionResult:
    builder = ResultBuilder()
    for event in events:
        builder.add(event)
    return builder.build()


def masked(before: str, hidden: str, after: str) -> tuple[Mask, str]:
    mask = Mask([before + hidden + after])
    text = before + hidden + after
    spans = [Span(len(before), len(before) + len(hidden), "email")] if hidden else []
    return mask, mask.hide(text, spans)


@given(TEXT, TEXT, TEXT)
@example("[EMAIL_1]", "x@y.example", "[EMAIL_")
def test_what_was_hidden_comes_back(before: str, hidden: str, after: str):
    mask, text = masked(before, hidden, after)
    assert mask.show(text) == before + hidden + after


@given(TEXT, st.text(min_size=1, max_size=20), TEXT, st.lists(st.integers(1, 5), max_size=60))
@example("", "anna@example.com", "", [1] * 60)
def test_a_stream_comes_back_however_it_is_cut(before: str, hidden: str, after: str, sizes: list[int]):
    mask, text = masked(before, hidden, after)
    unmasking, shown, at = Unmasking(mask), [], 0
    events: list[CompletionEvent] = [PartStarted(0, "text")]
    for size in sizes:
        events.append(PartDelta(0, text[at : at + size]))
        at += size
    events += [PartDelta(0, text[at:]), Finished(("stop",), Usage())]
    for event in events:
        shown += list(unmasking.read(event))
    assert folded(shown).text == before + hidden + after
    assert folded(shown).finish_reasons == ("stop",)


@given(st.text(min_size=1, max_size=20))
def test_in_json_it_stays_json(hidden: str):
    mask = Mask()
    arguments = '{"to": "' + mask.hide(hidden, [Span(0, len(hidden), "email")]) + '"}'
    events: list[CompletionEvent] = [PartStarted(0, "tool_call", 0, "c", "f")]
    events += [PartDelta(0, arguments), Finished(("tool_calls",), Usage())]
    assert json.loads(unmasked(folded(events), mask).parts[0].text) == {"to": hidden}


def test_the_same_text_has_the_same_name_and_numbers_follow_the_order():
    mask = Mask(["[EMAIL_2] stands there"])
    spans = [Span(0, 1, "email"), Span(1, 2, "email"), Span(2, 3, "email"), Span(3, 4, "phone")]
    assert mask.hide("abac", spans) == "[EMAIL_1][EMAIL_3][EMAIL_1][PHONE_1]"


def test_what_cannot_become_a_name_is_not_kept_back():
    mask = Mask()
    mask.hide("a", [Span(0, 1, "email")])
    unmasking = Unmasking(mask)
    list(unmasking.read(PartStarted(0, "text")))
    assert list(unmasking.read(PartDelta(0, "see [1"))) == [PartDelta(0, "see [1")]
    assert list(unmasking.read(PartDelta(0, " or [EM"))) == [PartDelta(0, " or ")]
    assert list(unmasking.read(PartDelta(0, "AIL_1]."))) == [PartDelta(0, "a.")]


def test_what_is_kept_is_told_before_another_part_or_a_seal():
    mask = Mask()
    mask.hide("a", [Span(0, 1, "email")])
    unmasking = Unmasking(mask)
    events: list[CompletionEvent] = [
        PartStarted(0, "reasoning"),
        PartDelta(0, "[EMA"),
        PartDelta(0, "", (), "seal"),
        PartStarted(1, "text"),
        PartDelta(1, "[EMAIL"),
        PartStarted(2, "tool_call", 0, "c", "f"),
    ]
    shown = [out for event in events for out in unmasking.read(event)]
    assert shown == [
        PartStarted(0, "reasoning"),
        PartDelta(0, "[EMA"),
        PartDelta(0, "", (), "seal"),
        PartStarted(1, "text"),
        PartDelta(1, "[EMAIL"),
        PartStarted(2, "tool_call", 0, "c", "f"),
    ]


def test_what_one_mask_hid_inside_of_another_comes_back_whole():
    mask = Mask(["mail anna@example.com today"])
    allowed = mask.beside()
    text = allowed.hide("mail anna@example.com today", [Span(5, 21, "email")])
    assert text == "mail [EMAIL_1] today"
    hidden = mask.hide(text, [Span(0, len(text), "sentence")])
    assert mask.show(hidden) == "mail anna@example.com today"
