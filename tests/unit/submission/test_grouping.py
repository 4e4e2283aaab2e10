"""Lines that begin alike stand together; nothing is lost, and short lines stay where they are."""

from hypothesis import given
from hypothesis import strategies as st

from penstock.submission.batch_file import BatchLine
from penstock.submission.grouping import ALIKE_BYTES, by_beginning


def line(number: int, kind: str, length: int = ALIKE_BYTES) -> BatchLine:
    return BatchLine(number, str(number), "m", (), {}, kind.encode() * length + b"%d" % number)


def test_lines_that_begin_alike_stand_together() -> None:
    found = by_beginning([line(1, "a"), line(2, "b"), line(3, "a"), line(4, "b")])
    assert [one.number for one in found] == [1, 3, 2, 4]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from([1, ALIKE_BYTES]))))
def test_nothing_is_lost_and_groups_keep_their_order(made: list[tuple[str, int]]) -> None:
    lines = [line(number, *one) for number, one in enumerate(made)]
    found = by_beginning(lines)
    assert sorted(one.number for one in found) == list(range(len(lines)))
    for kind in "ab":
        numbers = [one.number for one in found if len(one.raw) > ALIKE_BYTES and one.raw.startswith(kind.encode())]
        assert numbers == sorted(numbers)


def test_short_lines_keep_their_order() -> None:
    lines = [line(number, kind, 1) for number, kind in enumerate("abab")]
    assert by_beginning(lines) == lines
