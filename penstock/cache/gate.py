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
_NUMBER_WORDS = {
    word: str(value)
    for value, word in enumerate(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"])
    if word != "one"  # as often a pronoun as a number
}
_UNITS = {
    spelling: spellings[0]
    for spellings in (
        line.split()
        for line in (
            "€ eur euro euros", "$ usd dollar dollars", "£ gbp pound pounds", "¥ jpy yen", "% percent", "inr rupee rupees",
            "s second seconds sec", "min minute minutes", "h hour hours", "day days", "week weeks", "month months",
            "year years", "mm millimetre millimeter", "cm centimetre centimeter", "m metre meter metres meters",
            "km kilometre kilometer kilometres kilometers", "mile miles", "ft foot feet", "inch inches", "g gram grams",
            "kg kilogram kilograms kilo kilos", "lb lbs", "ml millilitre", "l litre liter litres liters", "mg milligram",
            "celsius", "fahrenheit", "kb", "mb", "gb", "tb",
        )
    )
    for spelling in spellings
}  # fmt: skip
_NEGATIONS = frozenset(
    ["not", "no", "never", "without", "cannot", "none", "nobody", "nothing", "neither", "nor", "unable", "impossible", "except", "dont", "didnt", "doesnt", "isnt", "wont", "cant", "hasnt", "havent", "wasnt", "werent", "couldnt", "wouldnt", "shouldnt", "arent", "fail", "fails", "failed", "failing", "failure", "decline", "declined", "declines", "refuse", "refused", "reject", "rejected", "denied", "broken", "incorrect", "wrong", "missing", "unsuccessful", "invalid", "stuck", "blocked"]
)
_QUESTIONS = (
    ("duration", re.compile(r"\bhow (?:long|soon|fast|quickly)\b|\bwhen\b")),
    ("amount", re.compile(r"\bhow (?:much|many)\b")),
    ("place", re.compile(r"\bwhere\b")),
    ("person", re.compile(r"\bwho(?:se|m)?\b")),
    ("reason", re.compile(r"\bwhy\b|\bhow come\b|\bwhat(?:'s| is) the reason\b")),
)
_OPPOSITES = {
    word: other
    for pair in (
        "increase decrease", "before after", "with without", "maximum minimum", "buy sell", "open close", "enable disable",
        "first last", "more less", "more fewer", "on off", "left right", "start stop", "add remove", "install uninstall",
        "send receive", "incoming outgoing", "deposit withdraw", "cheap expensive", "cheapest dearest", "highest lowest",
        "oldest newest", "lock unlock", "physical virtual", "debit credit", "above below", "import export", "encrypt decrypt",
        "upload download", "hot cold", "safe unsafe", "safe dangerous", "legal illegal", "advantages disadvantages",
        "male female", "best worst", "heaviest lightest", "include exclude", "ascending descending", "win lose",
    )
    for word, other in (pair.split(), pair.split()[::-1])
}  # fmt: skip
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
    if first.strange_to(second) or second.strange_to(first) or first.order() != second.order():
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
        """Numbers and names in their order, told only where there are several: from A to B is not from B to A."""
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
    return frozenset(found)


def _numbers(question: _Question) -> tuple[str, ...]:
    digits = (_NUMBER_WORDS.get(word, word) for word in question.words)
    return tuple(sorted(word.replace(",", "") for word in digits if word[0].isdigit()))


def _units(question: _Question) -> frozenset[str]:
    return frozenset(_UNITS[word] for word in question.words if (word in _UNITS and len(word) > 1) or word in "€$£¥%")


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


def _contradicts(first: _Question, second: _Question) -> bool:
    """One says what the other says the opposite of."""
    return any(
        _OPPOSITES[word] in second.known and word not in second.known and _OPPOSITES[word] not in first.known
        for word in first.known
        if word in _OPPOSITES
    )


_FACETS: dict[str, Callable[[_Question], object]] = {
    "numbers": _numbers,
    "units": _units,
    "negation": _negated,
    "script": _script,
}
