"""Words into the pieces that an uncased BERT model was trained on (Devlin et al. 2018), from its `vocab.txt`."""

import unicodedata
from collections.abc import Iterable, Iterator

_LONGEST_WORD = 100


class WordPiece:
    """Splits text into numbers of pieces, with the marks that BERT puts around it."""

    def __init__(self, vocabulary: Iterable[str]) -> None:
        """`vocabulary` has the pieces in the order of their numbers.

        Raises:
            KeyError: it lacks one of BERT's marks.
        """
        self._numbers = {piece: number for number, piece in enumerate(vocabulary)}
        self._unknown = self._numbers["[UNK]"]
        self._first, self._last = self._numbers["[CLS]"], self._numbers["[SEP]"]

    def encode(self, text: str, longest: int) -> list[int]:
        """The pieces of a text, cut to `longest` with the marks."""
        pieces = [number for word in _words(text) for number in self._pieces(word)]
        return [self._first, *pieces[: longest - 2], self._last]

    def _pieces(self, word: str) -> list[int]:
        """The longest known piece first, then the longest of what is left; a word with an unknown rest is unknown."""
        if len(word) > _LONGEST_WORD:
            return [self._unknown]
        found: list[int] = []
        start = 0
        while start < len(word):
            prefix = "##" if start else ""
            for end in range(len(word), start, -1):
                number = self._numbers.get(prefix + word[start:end])
                if number is not None:
                    found.append(number)
                    start = end
                    break
            else:
                return [self._unknown]
        return found


def _words(text: str) -> Iterator[str]:
    """Lower case without accents; every mark and every Chinese character is a word of its own."""
    word: list[str] = []
    for character in unicodedata.normalize("NFD", text.lower()):
        category = unicodedata.category(character)
        if category == "Mn" or character in "\x00\ufffd":
            continue
        alone = _is_mark(character, category) or 0x4E00 <= ord(character) <= 0x9FFF
        if alone or character.isspace() or category.startswith("C"):
            if word:
                yield "".join(word)
            word = []
            if alone:
                yield character
        else:
            word.append(character)
    if word:
        yield "".join(word)


def _is_mark(character: str, category: str) -> bool:
    """All of ASCII that is neither letter, digit nor space counts, as in BERT's own tokenizer."""
    return category.startswith("P") or (33 <= ord(character) <= 126 and not character.isalnum())
