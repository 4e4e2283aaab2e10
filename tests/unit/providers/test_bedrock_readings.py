"""What Bedrock sends beside the plain cases."""

from typing import Any

import pytest
from conformance.wires.bedrock import USAGE, event, events, plain

from penstock.completion import CompletionResult, ResultBuilder, Usage
from penstock.errors import (
    ProviderOverloaded,
    ProviderRateLimited,
    ProviderRejected,
    ProviderStreamBroken,
    ProviderTimeout,
    ProviderUnauthorized,
)
from penstock.providers.aws_event_stream import EventStreamDecoder
from penstock.providers.bedrock import Bedrock
from penstock.providers.bedrock_answers import ConverseReader, read_answer, read_error, read_usage
from penstock.providers.failures import ErrorFrame, Failures, VendorError


def fold(*chunks: bytes) -> CompletionResult:
    reader, builder = ConverseReader(), ResultBuilder()
    for read in EventStreamDecoder().feed(b"".join(chunks)):
        for made in reader.read(read):
            builder.add(made)
    builder.add(reader.finish())
    return builder.build()


def start(index: int, **block: Any) -> bytes:
    return event("contentBlockStart", contentBlockIndex=index, start=block)


def delta(index: int, **delta: Any) -> bytes:
    return event("contentBlockDelta", contentBlockIndex=index, delta=delta)


def stop(index: int) -> bytes:
    return event("contentBlockStop", contentBlockIndex=index)


def said(result: CompletionResult) -> list[tuple[str, str, str | None, str | None]]:
    return [(part.kind, part.text, part.name, part.signature) for part in result.parts]


END = events([])[-2:]


def answer(*blocks: dict[str, Any]) -> CompletionResult:
    return read_answer(plain([]) | {"output": {"message": {"role": "assistant", "content": list(blocks)}}})


def test_blocks_without_a_neutral_form_are_passed_over() -> None:
    """The parts stay numbered without gaps."""
    search = {"toolUseId": "s", "name": "nova_grounding", "type": "server_tool_use"}
    result = {"toolResult": {"toolUseId": "s", "type": "x", "content": [{"text": "found"}]}}
    whole = answer(
        {"toolUse": {**search, "input": {"q": 1}}},
        result,
        {"image": {"format": "png", "source": {"bytes": "QUJD"}}},
        {"citationsContent": {"content": [{"text": "a"}, {"text": "b"}], "citations": [{"title": "t"}]}},
    )
    live = fold(
        start(0, toolUse=search),
        delta(0, toolUse={"input": '{"q":1}'}),
        stop(0),
        start(1, toolResult={"toolUseId": "s"}),
        delta(1, toolResult=[{"text": "found"}]),
        stop(1),
        start(2, image={"format": "png"}),
        delta(2, image={"source": {"bytes": "QUJD"}}),
        delta(3, text="a"),
        delta(3, citation={"title": "t"}),
        delta(3, text="b"),
        *END,
    )
    assert said(whole) == said(live) == [("text", "ab", None, None)]


def test_thinking_keeps_its_signature() -> None:
    """Without it the model refuses the next turn. Also where the thought itself is not shown."""
    whole = answer(
        {"reasoningContent": {"reasoningText": {"signature": "c2ln", "text": "hm"}}},
        {"reasoningContent": {"reasoningText": {"text": "", "signature": "bnVs"}}},
        {"reasoningContent": {"redactedContent": "ZQ=="}},
    )
    live = fold(
        delta(0, reasoningContent={"text": "h"}),
        delta(0, reasoningContent={"text": "m"}),
        delta(0, reasoningContent={"signature": "c2ln"}),
        stop(0),
        delta(1, reasoningContent={"text": ""}),
        delta(1, reasoningContent={"signature": "bnVs"}),
        stop(1),
        delta(2, reasoningContent={"redactedContent": "ZQ=="}),
        stop(2),
        *END,
    )
    for result in (whole, live):
        assert said(result) == [
            ("reasoning", "hm", None, "c2ln"),
            ("reasoning", "", None, "bnVs"),
            ("reasoning", "", "redacted", "ZQ=="),
        ]
        assert CompletionResult.from_json(result.to_json()) == result


def test_a_seal_in_pieces_is_one_seal() -> None:
    """Each piece of redacted content is base64 with padding of its own."""
    live = fold(
        delta(0, reasoningContent={"redactedContent": "YQ=="}),
        delta(0, reasoningContent={"redactedContent": "YmM="}),
        stop(0),
        delta(1, reasoningContent={"text": "hm"}),
        delta(1, reasoningContent={"signature": "c2"}),
        delta(1, reasoningContent={"signature": "ln"}),
        *END,
    )
    assert said(live) == [("reasoning", "", "redacted", "YWJj"), ("reasoning", "hm", None, "c2ln")]


def test_calls_that_grow_in_turns() -> None:
    live = fold(
        start(0, toolUse={"toolUseId": "a", "name": "f"}),
        start(1, toolUse={"toolUseId": "b", "name": "g"}),
        delta(0, toolUse={"input": '{"x"'}),
        delta(1, toolUse={"input": ""}),
        delta(0, toolUse={"input": ":1}"}),
        stop(1),
        stop(0),
        *END,
    )
    assert [(part.id, part.name, part.text) for part in live.parts] == [("a", "f", '{"x":1}'), ("b", "g", "{}")]


def test_blocks_that_nobody_stops_end_with_the_message() -> None:
    live = fold(start(0, toolUse={"toolUseId": "a", "name": "f"}), delta(1, reasoningContent={"signature": "s"}), *END)
    assert said(live) == [("tool_call", "{}", "f", None), ("reasoning", "", None, "s")]


def test_a_block_that_changes_its_kind_is_two_parts() -> None:
    live = fold(delta(0, reasoningContent={"text": "hm"}), delta(0, text="so"), stop(0), *END)
    assert said(live) == [("reasoning", "hm", None, None), ("text", "so", None, None)]


def test_empty_deltas_make_no_part() -> None:
    assert fold(start(0), delta(0, text=""), delta(0), stop(0), *END).parts == ()
    assert answer({"text": ""}).parts == ()


def test_events_that_may_be_added_are_passed_over() -> None:
    assert fold(event("weather", wind=3), event("initial-response"), *END).parts == ()


def test_cached_tokens_are_part_of_the_input() -> None:
    wire = {"inputTokens": 1, "outputTokens": 2, "cacheReadInputTokens": 10, "cacheWriteInputTokens": 100}
    assert read_usage(wire) == Usage(input_tokens=111, output_tokens=2, cached_tokens=10, cache_write_tokens=100)
    assert read_usage({"inputTokens": 1, "cacheReadInputTokens": None}) == Usage(1)


def test_a_guardrail_may_leave_no_message() -> None:
    for output in ({}, {"message": None}, {"message": {"role": "assistant", "content": []}}):
        result = read_answer(plain([], "guardrail_intervened") | {"output": output})
        assert (result.parts, result.finish_reasons) == ((), ("content_filter",))


@pytest.mark.parametrize(("theirs", "ours"), [("refusal", "refusal"), ("something_new", "stop")])
def test_rare_stop_reasons(theirs: str, ours: str) -> None:
    assert read_answer(plain([], theirs)).finish_reasons == (ours,)


@pytest.mark.parametrize("reason", ["malformed_model_output", "malformed_tool_use"])
def test_an_answer_that_broke_off(reason: str) -> None:
    for read in (lambda: read_answer(plain([], reason)), lambda: fold(*events([], reason))):
        with pytest.raises(ErrorFrame, match="error frame") as caught:
            read()
        assert type(Failures("p").frame(caught.value.error)) is ProviderStreamBroken


@pytest.mark.parametrize("told", [None, {}, {"stop_sequence": None}, {"delta": {"stop_sequence": None}}])
def test_a_stop_string_that_is_not_told(told: Any) -> None:
    result = read_answer(plain([], "stop_sequence", additionalModelResponseFields=told))
    assert (result.finish_reasons, result.stop_sequence) == (("stop_sequence",), None)


def test_a_stop_string_in_a_stream_is_one_level_deeper() -> None:
    told = {"delta": {"stop_sequence": "END"}}
    assert fold(*events([], "stop_sequence", additionalModelResponseFields=told)).stop_sequence == "END"


def test_a_message_without_a_stop_reason_is_not_whole() -> None:
    for reason in (None, ""):
        with pytest.raises(ValueError, match="stop reason"):
            read_answer(plain([]) | {"stopReason": reason})
    with pytest.raises(ValueError, match="stop reason"):
        fold(event("metadata", usage=USAGE))


def test_a_routers_choice_of_model_is_told() -> None:
    trace = {"promptRouter": {"invokedModelId": "anthropic.claude-x"}}
    assert read_answer(plain([], trace=trace)).upstream_model == "anthropic.claude-x"


def refused(status: int, body: bytes, kind: str | None = None) -> Any:
    return Failures("p", table=Bedrock.failures).refused(status, {}, read_error(body, kind))


@pytest.mark.parametrize(
    ("status", "kind", "expected"),
    [
        (400, "ValidationException", ProviderRejected),
        (400, "ServiceQuotaExceededException", ProviderRateLimited),
        (403, "AccessDeniedException", ProviderUnauthorized),
        (403, "ExpiredTokenException", ProviderUnauthorized),
        (403, "InvalidSignatureException", ProviderUnauthorized),
        (404, "ResourceNotFoundException", ProviderRejected),
        (408, "ModelTimeoutException", ProviderTimeout),
        (424, "ModelErrorException", ProviderOverloaded),
        (429, "ThrottlingException", ProviderRateLimited),
        (429, "ModelNotReadyException", ProviderOverloaded),
        (500, "InternalServerException", ProviderOverloaded),
        (503, "ServiceUnavailableException", ProviderOverloaded),
    ],
)
def test_the_type_of_an_error_is_in_a_header(status: int, kind: str, expected: type) -> None:
    header = f"{kind}:http://internal.amazon.com/coral/com.amazon.bedrock/"
    assert type(refused(status, b'{"message":"no"}', header)) is expected


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("internalServerException", ProviderOverloaded),
        ("modelStreamErrorException", ProviderOverloaded),
        ("modelTimeoutException", ProviderTimeout),
        ("serviceUnavailableException", ProviderOverloaded),
        ("throttlingException", ProviderRateLimited),
        ("validationException", ProviderRejected),
        ("something_new", ProviderStreamBroken),
    ],
)
def test_exceptions_in_a_stream(kind: str, expected: type) -> None:
    frame = VendorError.of({"message": "it burst", "type": kind})
    assert type(Failures("p", table=Bedrock.failures).frame(frame)) is expected


@pytest.mark.parametrize(
    ("body", "message", "kind"),
    [
        (b'{"message":"no"}', "no", None),
        (b'{"Message":"no"}', "no", None),
        (b'{"__type":"com.amazon.coral.validate#ValidationException","message":"no"}', "no", "ValidationException"),
        (b'{"Output":{"__type":"a.b#UnknownOperationException"},"Version":"1.0"}', None, "UnknownOperationException"),
        (b"<html>no</html>", None, None),
        (b"no", "no", None),
        (b"[]", None, None),
        (b"", None, None),
    ],
)
def test_envelopes(body: bytes, message: str | None, kind: str | None) -> None:
    told = read_error(body, None)
    assert (told.message, told.type) == (message, kind)
    assert read_error(body, "ThrottlingException:").type == "ThrottlingException"


def test_an_error_inside_a_success_is_one() -> None:
    for body in ({"Output": {"__type": "a#UnknownOperationException"}}, {"__type": "a#B", "message": "no"}):
        with pytest.raises(ErrorFrame):
            read_answer(body)
