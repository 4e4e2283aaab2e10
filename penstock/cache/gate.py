"""What two questions must agree on before the answer to one is served for the other, however alike their vectors are.

Embeddings put "is it allowed" beside "is it not allowed", 50 beside 500 and Paris beside London, because the sentences
are used alike. No threshold tells these from a paraphrase, so they are compared as words. The checks err towards no: a
miss costs one call, a wrong hit a wrong answer. Rules without I/O; the lists are English, other languages are compared
by numbers, names and script alone.
"""

import re
import unicodedata
from collections.abc import Callable
from typing import Protocol

_WORD = re.compile(r"\d+(?:[.,:]\d+)*|[^\W\d_]+(?:['’][^\W\d_]+)*|[€$£¥%]")


def _set(*lines: str) -> frozenset[str]:
    return frozenset(" ".join(lines).split())


#: `one` is left out: as often a pronoun as a number
_NUMBER_WORDS = {
    "zero": "0", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8",
    "nine": "9", "ten": "10", "eleven": "11", "twelve": "12",
}  # fmt: skip
#: each line is one unit
_UNITS = {
    spelling: line.split()[0]
    for line in (
        "€ eur euro euros", "$ usd dollar dollars", "£ gbp pound pounds", "¥ jpy yen", "% percent", "inr rupee rupees",
        "second seconds sec", "min minute minutes", "hour hours", "day days", "week weeks", "month months",
        "year years", "mm millimetre millimeter", "cm centimetre centimeter", "metre meter metres meters",
        "km kilometre kilometer kilometres kilometers", "mile miles", "ft foot feet", "inch inches", "gram grams",
        "kg kilogram kilograms kilo kilos", "lb lbs", "ml millilitre", "litre liter litres liters", "mg milligram",
        "celsius", "fahrenheit", "kb", "mb", "gb", "tb",
    )
    for spelling in line.split()
}  # fmt: skip
_NEGATIONS = _set(
    "not no never without cannot none nobody nothing neither nor unable impossible except dont didnt doesnt isnt wont",
    "cant hasnt havent wasnt werent couldnt wouldnt shouldnt arent fail fails failed failing failure decline declined",
    "declines refuse refused reject rejected denied broken incorrect wrong missing unsuccessful invalid stuck blocked",
)
_QUESTIONS = (
    ("time", re.compile(r"\bhow (?:long|soon|fast|quickly)\b|\bwhen\b")),
    ("amount", re.compile(r"\bhow (?:much|many)\b")),
    ("place", re.compile(r"\bwhere\b")),
    ("person", re.compile(r"\bwho(?:se|m)?\b")),
    ("reason", re.compile(r"\bwhy\b|\bhow come\b|\bwhat(?:'s| is) the reason\b")),
)
_PAIRS = (
    "increase decrease", "before after", "with without", "maximum minimum", "buy sell", "open close", "enable disable",
    "first last", "more less", "more fewer", "on off", "left right", "start stop", "add remove", "import export",
    "install uninstall", "send receive", "incoming outgoing", "deposit withdraw", "cheap expensive", "highest lowest",
    "oldest newest", "lock unlock", "physical virtual", "debit credit", "above below", "encrypt decrypt",
    "upload download", "hot cold", "safe unsafe", "safe dangerous", "legal illegal", "advantages disadvantages",
    "male female", "best worst", "heaviest lightest", "include exclude", "ascending descending", "win lose",
)  # fmt: skip
_OPPOSITES: dict[str, set[str]] = {}
for _one, _other in map(str.split, _PAIRS):
    _OPPOSITES.setdefault(_one, set()).add(_other)
    _OPPOSITES.setdefault(_other, set()).add(_one)
_LANGUAGES = {
    "en": "the is my i what how to do can you and of it a for why",
    "de": "der die das ist ich mein wie und nicht ein eine kann was für zu",
    "fr": "le la les est je mon comment et une un que pour pourquoi des du",
    "es": "el los es mi cómo y una un que para por qué las puedo del",
    "it": "il gli è mio come e una un che per perché posso della di lo",
    "pt": "o os é meu como e uma um que para por posso não da do",
    "nl": "de het is mijn hoe en een niet kan wat voor ik te van",
}
_STOP_WORDS = {language: frozenset(text.split()) for language, text in _LANGUAGES.items()}


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
    first, second = _Question(asked), _Question(stored)
    for name, facet in _FACETS.items():
        if facet(first) != facet(second):
            return name
    if _contradicts(first, second):
        return "opposites"
    if _other_language(first, second):
        return "language"
    if first.strange_to(second) or second.strange_to(first) or _turned_round(first, second):
        return "names"
    ours, theirs = _question_word(first), _question_word(second)
    if ours is not None and theirs is not None and ours != theirs:
        return "question"
    return None


class _Question:
    def __init__(self, text: str) -> None:
        self.text = unicodedata.normalize("NFKC", text).replace("’", "'")
        self.words = words(text)
        self.known = frozenset(self.words)
        self.names = _names(self.text)

    def strange_to(self, other: "_Question") -> bool:
        """Whether it names something that the other does not mention, however that is written."""
        return not self.names <= other.known

    def order(self) -> tuple[str, ...]:
        """Names in their order, told only where there are several: from A to B is not from B to A."""
        found = tuple(word for word in self.words if word in self.names)
        return found if len(set(found)) > 1 else ()


def _names(text: str) -> frozenset[str]:
    """Words that begin with a capital inside a sentence. Where nearly all do, capitals say nothing."""
    tokens = [(match.group(), match.start()) for match in re.finditer(r"[^\W\d_][\w'-]*", text)]
    capital = [(token, at) for token, at in tokens if token[0].isupper()]
    if len(capital) > 0.6 * len(tokens):
        return frozenset()
    found = set()
    for token, at in capital:
        before = text[:at].rstrip(" \"'(")
        if before and before[-1] not in ".?!:\n" and token not in {"I", "I'm", "I've", "I'd", "I'll"}:
            found.update(words(token))
    return frozenset(found - _UNITS.keys())


def _numbers(question: _Question) -> tuple[str, ...]:
    digits = (_NUMBER_WORDS.get(word, word) for word in question.words)
    return tuple(sorted(word.replace(",", "") for word in digits if word[0].isdigit()))


def _units(question: _Question) -> frozenset[str]:
    return frozenset(_UNITS[word] for word in question.words if word in _UNITS)


def _negated(question: _Question) -> bool:
    return any(word in _NEGATIONS or word.endswith("n't") for word in question.words)


def _script(question: _Question) -> frozenset[str]:
    letters = [c for c in question.text if c.isalpha()]
    return frozenset(unicodedata.name(c, "?").split()[0] for c in letters)


def _language(question: _Question) -> str | None:
    """The language whose small words are most, None where it is not clear."""
    counts = sorted(((len(question.known & small), name) for name, small in _STOP_WORDS.items()), reverse=True)
    (most, name), (second, _) = counts[0], counts[1]
    return name if most > second + 1 else None


def _question_word(question: _Question) -> str | None:
    """What kind of thing is asked for. `what` and `how` ask for anything, so they agree with all."""
    plain = question.text.lower()
    kinds = [name for name, pattern in _QUESTIONS if pattern.search(plain)]
    return kinds[0] if len(kinds) == 1 else None


def _turned_round(first: _Question, second: _Question) -> bool:
    """The same words in another order around the same names: from A to B, and from B to A."""
    return first.order() != second.order() and sorted(first.words) == sorted(second.words)


def _other_language(first: _Question, second: _Question) -> bool:
    ours, theirs = _language(first), _language(second)
    return ours is not None and theirs is not None and ours != theirs


def _contradicts(first: _Question, second: _Question) -> bool:
    """One says what the other says the opposite of, and neither says both."""
    ours, theirs = first.known - second.known, second.known - first.known
    return any(other in theirs for word in ours for other in _OPPOSITES.get(word, ()))


_FACETS: dict[str, Callable[[_Question], object]] = {
    "numbers": _numbers,
    "units": _units,
    "negation": _negated,
    "script": _script,
}
