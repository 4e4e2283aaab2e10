"""Lines of a batch in the order in which their prompts are best sent: those that begin alike, one after another.

Providers keep a prompt for some minutes only, so lines with one beginning should not be spread over a long batch. The
answers come in the order of the input all the same.
"""

from collections.abc import Sequence

from penstock.submission.batch_file import BatchLine

#: bytes of a body that must be equal; shorter bodies hold no prefix that a provider would keep
ALIKE_BYTES = 4096


def by_beginning(lines: Sequence[BatchLine]) -> list[BatchLine]:
    """The lines, each group of those that begin alike at the place of its first; all else keeps its order."""
    groups: dict[object, list[BatchLine]] = {}
    for place, line in enumerate(lines):
        key = line.raw[:ALIKE_BYTES] if len(line.raw) > ALIKE_BYTES else place
        groups.setdefault(key, []).append(line)
    return [line for group in groups.values() for line in group]
