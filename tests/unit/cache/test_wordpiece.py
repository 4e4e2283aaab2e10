"""Words into pieces, as an uncased BERT cuts them."""

from penstock.cache.wordpiece import WordPiece

VOCABULARY = ["[UNK]", "[CLS]", "[SEP]", "play", "##ing", "##s", "cafe", "'", "t", "don", "北", "京", "?"]


def pieces(text: str, longest: int = 256) -> list[str]:
    return [VOCABULARY[number] for number in WordPiece(VOCABULARY).encode(text, longest)]


def test_a_word_is_its_longest_known_pieces() -> None:
    assert pieces("Playing plays?") == ["[CLS]", "play", "##ing", "play", "##s", "?", "[SEP]"]


def test_case_and_accents_are_dropped_and_marks_stand_alone() -> None:
    assert pieces("Café don't") == ["[CLS]", "cafe", "don", "'", "t", "[SEP]"]


def test_chinese_characters_are_words_and_unknown_words_are_one_piece() -> None:
    assert pieces("北京 zebra") == ["[CLS]", "北", "京", "[UNK]", "[SEP]"]


def test_a_long_text_is_cut_and_keeps_its_marks() -> None:
    assert pieces("play " * 50, 5) == ["[CLS]", "play", "play", "play", "[SEP]"]
