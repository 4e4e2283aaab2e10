"""Words and patterns that the operator does not want to leave, or to come back."""

import re
from collections.abc import Sequence

from penstock.guard.findings import Span, without_overlaps


class DenyListCheck:
    """Finds terms, as whole words and in any case, and patterns. Its findings have the list's own name."""

    def __init__(self, name: str, terms: Sequence[str], patterns: Sequence[str]) -> None:
        self._name = name
        # the longest first: of terms that begin alike the whole one is found
        words = "|".join(re.escape(term) for term in sorted(terms, key=len, reverse=True))
        every = [re.compile(rf"(?<!\w)(?:{words})(?!\w)", re.IGNORECASE)] if terms else []
        self._patterns = [*every, *map(re.compile, patterns)]

    def find(self, text: str) -> list[Span]:
        """See `TextCheck`."""
        return without_overlaps(
            [Span(*match.span(), self._name) for pattern in self._patterns for match in pattern.finditer(text)]
        )
