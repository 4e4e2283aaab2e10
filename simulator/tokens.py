"""Simulated tokens: a token is a piece of four characters, in usage, in limits and in streams alike."""

TOKEN_CHARS = 4


def count(text: str) -> int:
    """How many tokens a text has."""
    return -(-len(text) // TOKEN_CHARS)


def pieces(text: str) -> list[str]:
    """The tokens of a text; joined they are the text."""
    return [text[at : at + TOKEN_CHARS] for at in range(0, len(text), TOKEN_CHARS)]


def truncate(text: str, tokens: int) -> str:
    """The first `tokens` tokens of a text."""
    return text[: tokens * TOKEN_CHARS]
