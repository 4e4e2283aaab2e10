"""From the bytes of a stream to the result: the same however they were cut, and the same when told again."""

from itertools import pairwise
from typing import Any

import pytest
from conformance.wires import WIRES
from conformance.wires.wire import MANY, Wire, ask
from hypothesis import given
from hypothesis import strategies as st

from penstock.completion import CompletionResult, ResultBuilder
from penstock.providers.sse import SSEDecoder


def fold(wire: Wire, chunks: list[bytes]) -> CompletionResult:
    decoder, reader, builder = wire.decoder(), wire.reader(ask()), ResultBuilder()
    for chunk in chunks:
        for event in decoder.feed(chunk):
            for made in reader.read(event):
                builder.add(made)
    assert reader.ended or wire.ends_with_connection
    builder.add(reader.finish())
    return builder.build()


TEXTS = st.text(max_size=20)
PARTS = st.lists(
    st.tuples(st.just("text"), TEXTS.filter(bool), st.none(), st.none())
    | st.tuples(st.just("tool_call"), st.just('{"a":1}'), st.text(min_size=1, max_size=4), st.sampled_from("fgh")),
    max_size=5,
    unique_by=lambda part: part[2] or part[0],
)


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.format)
@given(parts=PARTS | st.just(MANY), cuts=st.lists(st.integers(0, 5000), max_size=40), crlf=st.booleans())
def test_any_split_of_the_bytes_gives_the_same_result(wire: Wire, parts: Any, cuts: list[int], crlf: bool) -> None:
    newline = b"\r\n" if crlf and isinstance(wire.decoder(), SSEDecoder) else b"\n"
    body = b"".join(wire.events(parts)).replace(b"\n", newline)
    places = sorted({0, len(body), *(cut % len(body) for cut in cuts)})
    result = fold(wire, [body[start:end] for start, end in pairwise(places)])
    assert result == fold(wire, [body])
    assert [(part.kind, part.text, part.id, part.name) for part in result.parts] == wire.heard(parts)


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.format)
def test_a_result_tells_its_stream_again(wire: Wire) -> None:
    decoder, reader, builder = wire.decoder(), wire.reader(ask()), ResultBuilder()
    live = [made for event in decoder.feed(b"".join(wire.events(MANY))) for made in reader.read(event)]
    for made in live:
        builder.add(made)
    assert list(builder.build().events()) == live
