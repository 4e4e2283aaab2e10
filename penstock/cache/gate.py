"""What two questions must agree on before the answer to one is served for the other, however alike their vectors are.

Embeddings put "is it allowed" beside "is it not allowed", 50 beside 500 and Paris beside London, because the sentences
are used alike. No threshold tells these from a paraphrase, so they are compared as words. The checks err towards no: a
miss costs one call, a wrong hit a wrong answer. Rules without I/O; the lists are English, other languages are compared
by numbers, names and script alone.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Protocol

from penstock.cache import lexicon

_WORD = re.compile(r"\d+(?:[.,:]\d+)*|[^\W\d_]+(?:['’][^\W\d_]+)*|[€$£¥%]")


_SHORTEST_STEM = 3
_QUESTIONS = (
    ("time", re.compile(r"\bhow (?:long|soon|fast|quickly)\b|\bwhen\b")),
    ("amount", re.compile(r"\bhow (?:much|many)\b")),
    ("place", re.compile(r"\bwhere\b")),
    ("person", re.compile(r"\bwho(?:se|m)?\b")),
    ("reason", re.compile(r"\bwhy\b|\bhow come\b|\bwhat(?:'s| is) the reason\b")),
)
_OPPOSITES: dict[str, set[str]] = {}


def _stem(word: str) -> str:
    """A word without the ending of a verb or a plural, so that enabling and disabled meet."""
    for ending in ("ing", "ed", "es", "s", "d", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= _SHORTEST_STEM:
            return word[: -len(ending)]
    return word


for _one, _other in map(str.split, lexicon.OPPOSITES):
    _OPPOSITES.setdefault(_stem(_one), set()).add(_stem(_other))
    _OPPOSITES.setdefault(_stem(_other), set()).add(_stem(_one))


class Judge(Protocol):
    """A model that is asked whether one answer serves two questions; slow and costly, so it comes last."""

    async def same(self, asked: str, stored: str) -> bool:
        """Whether the answer to `stored` answers `asked`."""
        ...


def words(text: str) -> list[str]:
    """The words, numbers and currency signs of a text, in lower case."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).replace("’", "'").lower())


def disagreement(asked: str, stored: str) -> str | None:
    """What speaks against serving the answer to `stored` for `asked`: the name of the first check that fails."""
    first, second = _read(asked), _read(stored)
    for name, ours in first.facets.items():
        if ours != second.facets[name]:
            return name
    if _contradicts(first, second):
        return "opposites"
    if _differ(first.language, second.language):
        return "language"
    if first.strange_to(second) or second.strange_to(first) or _turned_round(first, second):
        return "names"
    return "question" if _differ(first.kind, second.kind) else None


class _Question:
    def __init__(self, text: str) -> None:
        self.text = unicodedata.normalize("NFKC", text).replace("’", "'")
        self.words = words(text)
        self.known = frozenset(self.words)
        self.names = _names(self.text)
        self.facets = {name: facet(self) for name, facet in _FACETS.items()}
        self.language = _language(self)
        self.kind = _kind(self)

    def strange_to(self, other: "_Question") -> bool:
        """Whether it names something that the other does not mention, however that is written."""
        return not self.names <= other.known

    def order(self) -> tuple[str, ...]:
        """Names in their order, told only where there are several: from A to B is not from B to A."""
        found = tuple(word for word in self.words if word in self.names)
        return found if len(set(found)) > 1 else ()

    def content(self) -> tuple[str, ...]:
        """The words that say what is asked, in their order."""
        return tuple(word for word in self.words if word not in lexicon.SMALL and word not in lexicon.DIRECTIONS)


#: a question is compared with several, and one that is stored with many
_read = lru_cache(maxsize=10_000)(_Question)


def _names(text: str) -> frozenset[str]:
    """Words that begin with a capital inside a sentence; none in a title or a shout, where small words do too."""
    tokens = [(match.group(), match.start()) for match in re.finditer(r"[^\W\d_][\w'-]*", text)]
    capital = [(token, at) for token, at in tokens if token[0].isupper()]
    if len(capital) > 0.6 * len(tokens) and any(_is_small(token) for token, at in capital if at > 0):
        return frozenset()
    found = set()
    for token, at in capital:
        before = text[:at].rstrip(" \"'(")
        if before and before[-1] not in ".?!:\n" and token not in {"I", "I'm", "I've", "I'd", "I'll"}:
            found.update(words(token))
    return frozenset(word for word in found if word not in lexicon.UNITS and next(_kinds_of(word), None) is None)


def _is_small(word: str) -> bool:
    return word != "I" and any(word.lower() in small for small in lexicon.LANGUAGES.values())


def _numbers(question: _Question) -> tuple[str, ...]:
    digits = (lexicon.NUMBER_WORDS.get(word, word) for word in question.words)
    return tuple(sorted(word.replace(",", "") for word in digits if word[0].isdigit()))


def _units(question: _Question) -> tuple[str, ...]:
    return _ordered(question, (lexicon.UNITS[word] for word in question.words if word in lexicon.UNITS))


def _ordered(question: _Question, found: Iterable[str]) -> tuple[str, ...]:
    """Each once; in their order where that counts: from euros to pounds is not from pounds to euros."""
    once = tuple(dict.fromkeys(found))
    return once if question.known & lexicon.DIRECTIONS else tuple(sorted(once))


def _negated(question: _Question) -> bool:
    return any(word in lexicon.NEGATIONS or word.endswith("n't") for word in question.words)


def _script(question: _Question) -> frozenset[str]:
    letters = [c for c in question.text if c.isalpha()]
    return frozenset(unicodedata.name(c, "?").split()[0] for c in letters)


def _language(question: _Question) -> str | None:
    """The language whose small words are most, None where it is not clear."""
    counts = sorted(((len(question.known & small), name) for name, small in lexicon.LANGUAGES.items()), reverse=True)
    (most, name), (second, _) = counts[0], counts[1]
    return name if most > second + 1 else None


def _kind(question: _Question) -> str | None:
    """What kind of thing is asked for. `what` and `how` ask for anything, so they agree with all."""
    plain = question.text.lower()
    kinds = [name for name, pattern in _QUESTIONS if pattern.search(plain)]
    return kinds[0] if len(kinds) == 1 else None


def _turned_round(first: _Question, second: _Question) -> bool:
    """The same words in another order, around the same names or where order counts: from A to B, and from B to A."""
    if sorted(first.words) == sorted(second.words) and first.order() != second.order():
        return True
    ours, theirs = first.content(), second.content()
    directed = bool(first.known & lexicon.DIRECTIONS)
    return directed and ours != theirs and sorted(ours) == sorted(theirs)


def _differ(ours: str | None, theirs: str | None) -> bool:
    """Both are known, and not the same."""
    return ours is not None and theirs is not None and ours != theirs


def _contradicts(first: _Question, second: _Question) -> bool:
    """One says what the other says the opposite of, and neither says both."""
    ours, theirs = map(_stem, first.known - second.known), set(map(_stem, second.known - first.known))
    return any(other in theirs for word in ours for other in _opposites(word))


def _opposites(stem: str) -> Iterator[str]:
    yield from _OPPOSITES.get(stem, ())
    for plain, reversing in lexicon.REVERSING:
        for one, other in ((plain, reversing), (reversing, plain)):
            rest = stem.removeprefix(one)
            if stem.startswith(one) and len(rest) >= _SHORTEST_STEM:
                yield other + rest


def _kinds(question: _Question) -> tuple[str, ...]:
    """What it names of weekdays, colours, countries and the like, in capitals or not."""
    return _ordered(question, (kind for word in question.words for kind in _kinds_of(word)))


def _kinds_of(word: str) -> Iterator[str]:
    return (kind[word] for kind in lexicon.KINDS if word in kind)


_FACETS: dict[str, Callable[[_Question], object]] = {
    "numbers": _numbers,
    "units": _units,
    "negation": _negated,
    "kinds": _kinds,
    "script": _script,
}
