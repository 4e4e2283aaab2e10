"""Characters cut in two by a server: told whole, at their place, and the same again from what is stored."""

import json

from hypothesis import given
from hypothesis import strategies as st

from penstock.completion import CompletionResult, Finished, PartDelta, PartStarted, ResultBuilder, Usage
from penstock.completion.characters import WholeCharacters
from penstock.completion.events import CompletionEvent

END = Finished(("stop",), Usage())
#: the units in which a server that thinks in UTF-16 may cut a text
texts = st.text(st.sampled_from(["a", "é", "漢", "👩", "🏳", "\u200d", "\ud800", "\udc00"]), max_size=12)


def units(text: str) -> list[str]:
    raw = text.encode("utf-16-le", "surrogatepass")
    return [chr(int.from_bytes(raw[at : at + 2], "little")) for at in range(0, len(raw), 2)]


def through(events: list[CompletionEvent]) -> list[CompletionEvent]:
    whole = WholeCharacters()
    return [told for event in events for told in whole.read(event)]


def test_both_halves_are_told_as_one_when_the_second_is_there():
    read = [PartStarted(0, "text"), PartDelta(0, "a\ud83d"), PartDelta(0, "\udc69b"), END]
    assert through(read) == [PartStarted(0, "text"), PartDelta(0, "a"), PartDelta(0, "👩b"), END]


def test_tokens_and_seals_keep_their_place():
    tokens = PartDelta(0, "\ud83d", ({"token": "x"},))
    read = [PartStarted(0, "text"), tokens, PartDelta(0, "\udc69"), PartDelta(0, "", (), "s"), END]
    assert through(read)[1:] == [
        PartDelta(0, "", tokens.logprobs), PartDelta(0, "👩"), PartDelta(0, "", (), "s"), END,
    ]  # fmt: skip


@given(st.lists(texts, min_size=1, max_size=3), st.randoms(use_true_random=False))
def test_any_cut_of_any_texts(parts: list[str], random: object):
    """Parts interleave; each unit comes alone. The deltas add up to the text, and are what the stored answer tells."""
    read: list[CompletionEvent] = [PartStarted(number, "text") for number in range(len(parts))]
    left = [units(part) for part in parts]
    while any(left):
        number = random.choice([n for n, units_left in enumerate(left) if units_left])  # type: ignore[attr-defined]
        read.append(PartDelta(number, left[number].pop(0)))
    builder = ResultBuilder()
    told = through([*read, END])
    for event in told:
        builder.add(event)
    stored = CompletionResult.from_json(json.loads(json.dumps(builder.build().to_json())))
    expected = [json.loads(json.dumps(part)) for part in parts]
    assert [part.text for part in stored.parts] == expected
    assert [*stored.events(), END] == told
