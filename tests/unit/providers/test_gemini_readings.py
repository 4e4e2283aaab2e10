"""What Google sends beside the plain cases."""

import json
from typing import Any

import pytest
from conformance.wires.gemini import USAGE, answer, chunk, events, part_of
from conformance.wires.wire import TEXT, ask

from penstock.completion import CompletionResult, PartDelta, PartStarted, ResultBuilder, Usage
from penstock.errors import (
    ProviderContentRefused,
    ProviderError,
    ProviderOverloaded,
    ProviderRateLimited,
    ProviderRejected,
    ProviderStreamBroken,
    ProviderUnauthorized,
)
from penstock.providers.failures import ErrorFrame, Failures
from penstock.providers.gemini_answer import GenerateContentReader, read_answer, read_logprobs, read_usage
from penstock.providers.gemini_errors import FAILURES, read_error, read_refusal, seconds
from penstock.providers.gemini_framing import GeminiDecoder

RPC = "type.googleapis.com/google.rpc."


def fold(*chunks: bytes, **fields: Any) -> CompletionResult:
    decoder, reader, builder = GeminiDecoder(), GenerateContentReader(ask(**fields)), ResultBuilder()
    read = [event for piece in chunks for event in decoder.feed(piece)]
    last = decoder.finish()
    for event in [*read, *([last] if last else [])]:
        for made in reader.read(event):
            builder.add(made)
    builder.add(reader.finish())
    return builder.build()


def text(said: str, **more: Any) -> dict[str, Any]:
    return {"text": said, **more}


def sealed(said: str, seal: str = "c2ln", **more: Any) -> dict[str, Any]:
    return {"text": said, "thoughtSignature": seal, **more}


def parts(result: CompletionResult) -> list[tuple[str, str, str | None]]:
    return [(part.kind, part.text, part.signature) for part in result.parts]


def failed(frame: ErrorFrame) -> ProviderError:
    return Failures("river", (), FAILURES).frame(frame.error)


def test_a_seal_on_a_call() -> None:
    """Of parallel calls the first has it; without it the vendor refuses the next turn."""
    calls = [part_of("tool_call", "{}", f"c{n}", "f") for n in range(2)]
    calls[0]["thoughtSignature"] = "c2ln"
    for result in (read_answer(answer(calls), ask()), fold(chunk(*calls), chunk(text(""), reason="STOP"))):
        assert parts(result) == [("tool_call", "{}", "c2ln"), ("tool_call", "{}", None)]
        assert CompletionResult.from_json(result.to_json()) == result


def test_a_seal_on_a_text() -> None:
    whole = read_answer(answer([sealed("Hello")]), ask())
    live = fold(chunk(text("Hel")), chunk(sealed("lo")), chunk(reason="STOP"))
    assert parts(whole) == parts(live) == [("text", "Hello", "c2ln")]


def test_a_seal_that_comes_late_and_alone() -> None:
    """In streams it may come with an empty text, or none; it belongs to what was said last."""
    for last in (sealed(""), {"thoughtSignature": "c2ln"}):
        assert parts(fold(chunk(text("Hello")), chunk(last, reason="STOP"))) == [("text", "Hello", "c2ln")]


def test_a_seal_on_a_thought() -> None:
    live = fold(chunk(text("hm", thought=True)), chunk(sealed("", thought=True)), chunk(text("a"), reason="STOP"))
    assert parts(live) == [("reasoning", "hm", "c2ln"), ("text", "a", None)]


def test_nothing_is_joined_to_what_is_sealed() -> None:
    result = fold(chunk(sealed("a")), chunk(text("b")), chunk(sealed("c", "ZQ=="), reason="STOP"))
    assert parts(result) == [("text", "a", "c2ln"), ("text", "bc", "ZQ==")]


def test_a_seal_without_anything_before_it() -> None:
    """It is kept as a thought without words, as it can be sent again."""
    result = fold(chunk(sealed("")), chunk(text("a"), reason="STOP"))
    assert parts(result) == [("reasoning", "", "c2ln"), ("text", "a", None)]
    assert result.parts[0].name == "redacted"


def test_thoughts_and_texts_in_turns() -> None:
    result = fold(
        chunk(text("t1", thought=True)), chunk(text("a"), text("t2", thought=True)), chunk(text("b"), reason="STOP")
    )
    kinds = [("reasoning", "t1", None), ("text", "a", None), ("reasoning", "t2", None), ("text", "b", None)]
    assert parts(result) == kinds


def test_parts_without_a_neutral_form_are_passed_over() -> None:
    """Whether they have a seal or not: it would not fit another part."""
    picture = {"inlineData": {"mimeType": "image/png", "data": "QUJD"}, "thoughtSignature": "c2ln"}
    ran = {"executableCode": {"language": "PYTHON", "code": "1"}}
    result = fold(
        chunk(text("a"), ran, picture, {"text": None}, {"codeExecutionResult": {"outcome": "OUTCOME_OK"}}, text("b")),
        END,
    )
    assert parts(result) == [("text", "ab", None)]


END = chunk(reason="STOP")


def test_a_call_ends_the_text_before_it() -> None:
    """What is said after it, a late seal too, is no part of that text."""
    call = part_of("tool_call", "{}", "c", "f")
    result = fold(chunk(text("a")), chunk(call), chunk(sealed("")), chunk(text("b"), reason="STOP"))
    assert parts(result) == [
        ("text", "a", None),
        ("tool_call", "{}", None),
        ("reasoning", "", "c2ln"),
        ("text", "b", None),
    ]


def test_calls_of_older_models_have_no_id_and_may_have_no_arguments() -> None:
    wire = {"functionCall": {"name": "f"}}
    result = fold(chunk(wire), chunk(wire), END)
    first, second = (part.id for part in result.parts)
    assert first != second
    assert [part.text for part in result.parts] == ["{}", "{}"]
    assert result.finish_reasons == ("tool_calls",)


def test_a_call_without_a_name_is_no_answer() -> None:
    with pytest.raises(ValueError, match="name"):
        fold(chunk({"functionCall": {"args": {}}}), END)


def test_candidates_in_turns() -> None:
    call = part_of("tool_call", "{}", "c", "f")
    result = fold(
        chunk(text("a"), index=1),
        chunk(text("b"), index=0),
        chunk(text("c"), index=1, reason="MAX_TOKENS"),
        chunk(call, index=0, reason="STOP"),
        n=2,
    )
    assert [(part.choice, part.text) for part in result.parts] == [(1, "ac"), (0, "b"), (0, "{}")]
    assert result.finish_reasons == ("tool_calls", "length")


def test_a_stream_is_whole_when_every_candidate_is() -> None:
    with pytest.raises(ValueError, match="finish reason"):
        fold(chunk(text("a"), reason="STOP"), n=2)
    with pytest.raises(ValueError, match="finish reason"):
        fold(chunk(text("a"), reason="STOP"), chunk(text("b"), index=1))
    assert read_answer(answer([text("a")]), ask(n=2)).finish_reasons == ("stop",)


def test_a_reason_in_every_chunk_ends_nothing() -> None:
    """The first generations repeat theirs; some servers say that they have not said it."""
    result = fold(chunk(text("a"), reason="STOP"), chunk(text("b"), reason="MAX_TOKENS"))
    assert (result.text, result.finish_reasons) == ("ab", ("length",))
    with pytest.raises(ValueError, match="finish reason"):
        fold(chunk(text("a"), reason="FINISH_REASON_UNSPECIFIED"))


@pytest.mark.parametrize("reason", ["SAFETY", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "OTHER", "SOMETHING_NEW"])
def test_an_answer_that_the_vendor_stopped(reason: str) -> None:
    """A candidate may then have no content at all."""
    wire = {"candidates": [{"finishReason": reason, "safetyRatings": []}], "usageMetadata": USAGE}
    assert read_answer(wire, ask()).finish_reasons == ("content_filter",)
    assert fold(chunk(part_of("tool_call", "{}", "c", "f"), reason=reason)).finish_reasons == ("content_filter",)


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        ("MALFORMED_FUNCTION_CALL", ProviderStreamBroken),
        ("UNEXPECTED_TOOL_CALL", ProviderStreamBroken),
        ("MISSING_THOUGHT_SIGNATURE", ProviderRejected),
    ],
)
def test_an_answer_that_went_wrong_has_not_finished(reason: str, error: type) -> None:
    with pytest.raises(ErrorFrame) as caught:
        fold(chunk(text("a")), chunk(reason=reason, finishMessage="print(1)"))
    assert type(failed(caught.value)) is error
    assert f"{reason}: print(1)" in failed(caught.value).message


@pytest.mark.parametrize("reason", ["SAFETY", "OTHER"])
def test_a_blocked_prompt(reason: str) -> None:
    blocked = {"promptFeedback": {"blockReason": reason, "safetyRatings": []}, "usageMetadata": USAGE}
    for read in (lambda: read_answer(blocked, ask()), lambda: fold(b"data: " + json.dumps(blocked).encode())):
        with pytest.raises(ErrorFrame) as caught:
            read()
        error = failed(caught.value)
        assert (type(error), error.status, reason in error.message) == (ProviderContentRefused, 400, True)


def test_feedback_on_a_prompt_that_was_not_blocked() -> None:
    assert read_answer(answer([text("a")]) | {"promptFeedback": {"safetyRatings": []}}, ask()).text == "a"


def test_counts_grow_and_the_last_ones_win() -> None:
    """The last may come in a chunk of their own, after the reason."""
    usage = b'data: {"usageMetadata": {"candidatesTokenCount": 9, "thoughtsTokenCount": 1}}\n\n'
    assert fold(chunk(text("a")), END, usage).usage == Usage(19, 10, 8, 0, 1)


@pytest.mark.parametrize(
    ("wire", "usage"),
    [
        ({}, Usage()),
        ({"promptTokenCount": 3, "candidatesTokenCount": None}, Usage(3)),
        ({"promptTokenCount": 3, "thoughtsTokenCount": 5}, Usage(3, 5, reasoning_tokens=5)),
        ({"promptTokenCount": 10, "cachedContentTokenCount": 8, "toolUsePromptTokenCount": 2}, Usage(12, 0, 8)),
    ],
)
def test_usage_with_gaps(wire: dict[str, Any], usage: Usage) -> None:
    assert read_usage(wire) == usage


def token(said: str, logprob: float | None = None) -> dict[str, Any]:
    return {"token": said, "tokenId": 1} | ({"logProbability": logprob} if logprob is not None else {})


def test_logprobs() -> None:
    """Certainty is a zero, which the vendor leaves out; rivals may be fewer than tokens."""
    wire = {
        "chosenCandidates": [token("é", -0.5), token("b")],
        "topCandidates": [{"candidates": [token("é", -0.5), token("e", -1.5)]}],
    }
    first, second = read_logprobs(wire)
    assert first == {
        "token": "é",
        "logprob": -0.5,
        "bytes": [0xC3, 0xA9],
        "top_logprobs": [
            {"token": "é", "logprob": -0.5, "bytes": [0xC3, 0xA9]},
            {"token": "e", "logprob": -1.5, "bytes": [0x65]},
        ],
    }
    assert second == {"token": "b", "logprob": 0.0, "bytes": [0x62], "top_logprobs": []}
    assert read_logprobs(None) == ()


def test_logprobs_stay_with_the_text_of_their_chunk() -> None:
    chosen = {"chosenCandidates": [token("a", -0.5)]}
    wire = answer([text("hm", thought=True), text("a")], logprobsResult=chosen)
    made = list(GenerateContentReader(ask()).chunk(wire))
    assert made == [
        PartStarted(0, "reasoning"),
        PartDelta(0, "hm"),
        PartStarted(1, "text"),
        PartDelta(1, "a", read_logprobs(chosen)),
    ]


def test_logprobs_are_told_once() -> None:
    """Though a chunk may hold its text in several pieces."""
    chosen = {"chosenCandidates": [token("a", -0.5), token("b", -0.5)]}
    result = read_answer(answer([text("a"), text("b")], logprobsResult=chosen), ask())
    assert result.parts[0].logprobs == read_logprobs(chosen)


def test_a_list_of_chunks_where_events_were_asked_for() -> None:
    """What the vendor streams to who did not ask for events, and proxies make of it."""
    chunks = [answer([text("Hel")], None), answer([text("lo")])]
    result = read_answer(chunks, ask())
    assert (result.text, result.upstream_model, result.finish_reasons) == ("Hello", "served", ("stop",))
    with pytest.raises(ValueError, match="finish reason"):
        read_answer([], ask())


QUOTA = {
    "code": 429,
    "message": "You exceeded your current quota.",
    "status": "RESOURCE_EXHAUSTED",
    "details": [
        {"@type": RPC + "QuotaFailure", "violations": [{"quotaId": "GenerateRequestsPerMinute"}]},
        {"@type": RPC + "Help", "links": []},
        {"@type": RPC + "RetryInfo", "retryDelay": "38.5s"},
    ],
}


def test_when_to_come_back() -> None:
    """Also where the error is the one element of a list, as it may be on the streaming path."""
    for body in ({"error": QUOTA}, [{"error": QUOTA}]):
        told = read_refusal(json.dumps(body).encode())
        error = Failures("river", (), FAILURES).refused(429, {}, told)
        assert (type(error), error.retry_after) == (ProviderRateLimited, 38.5)
        assert "You exceeded your current quota." in error.message


def test_what_the_details_say() -> None:
    invalid = {
        "code": 400,
        "status": "INVALID_ARGUMENT",
        "message": "m",
        "details": [
            {"@type": RPC + "ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"},
            {"@type": RPC + "BadRequest", "fieldViolations": [{"field": "generation_config.top_k"}]},
        ],
    }
    told = read_error(invalid)
    assert (told.code, told.type, told.param, told.status) == (
        "API_KEY_INVALID",
        "INVALID_ARGUMENT",
        "generation_config.top_k",
        400,
    )
    assert type(Failures("river", (), FAILURES).refused(400, {}, told)) is ProviderUnauthorized


@pytest.mark.parametrize(
    "error",
    [
        "a word",
        {"message": "m", "details": "x"},
        {"message": "m", "details": [3, {"@type": None}, {"@type": RPC + "BadRequest", "fieldViolations": [1]}]},
        {"message": "m", "details": [{"@type": RPC + "RetryInfo"}]},
    ],
)
def test_errors_with_gaps(error: Any) -> None:
    told = read_error(error)
    assert told.message in {"a word", "m"}
    assert (told.code, told.param, told.retry_after) == (None, None, None)


@pytest.mark.parametrize("number", [{"code": 499}, {}])
def test_a_call_that_somebody_cancelled(number: Any) -> None:
    """It was not us; inside a stream the number may be missing."""
    told = read_error({"message": "m", "status": "CANCELLED", **number})
    assert type(Failures("river", (), FAILURES).frame(told)) is ProviderOverloaded


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("38s", 38),
        ("0.250s", 0.25),
        ("1.000000001s", 1.000000001),
        ("-1s", None),
        ("nans", None),
        ("s", None),
        ("3m", None),
        ({"seconds": 3}, None),
        (None, None),
    ],
)
def test_durations(written: Any, expected: float | None) -> None:
    assert seconds(written) == expected


BARE = json.dumps({"error": {"code": 503, "message": "high demand", "status": "UNAVAILABLE"}}, indent=2).encode()
BARE = BARE.replace(b"\n", b"\r\n") + b"\r\n"


@pytest.mark.parametrize("bare", [BARE, BARE.replace(b"\r\n", b"\n"), b"[" + BARE + b"]", BARE.strip() + b"\r\n\r\n"])
@pytest.mark.parametrize("begun", [b"", b"".join(events(TEXT)[:3]), b"".join(events(TEXT)[:3]).replace(b"\n", b"\r\n")])
def test_an_error_that_is_no_event(bare: bytes, begun: bytes) -> None:
    """A stream whose capacity is taken away ends so: what it said would be lost as the cause of a cut."""
    for pieces in ([begun + bare], [bytes([byte]) for byte in begun + bare]):
        with pytest.raises(ErrorFrame) as caught:
            fold(*pieces)
        assert caught.value.error.message == "high demand"
        assert caught.value.error.status == 503


@pytest.mark.parametrize("end", [BARE[:-9], b'{"error": null}', b'{"a": "\xff', b"<html>"])
def test_other_ends_are_no_errors(end: bytes) -> None:
    with pytest.raises(ValueError, match="finish reason"):
        fold(*events(TEXT)[:3], end)


def test_an_error_is_told_though_much_was_said_before_it() -> None:
    with pytest.raises(ErrorFrame):
        fold(chunk(text("x" * 50_000)), BARE)
