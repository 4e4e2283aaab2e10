"""Takes secrets out of texts that people read: log lines, tracebacks, a command's last words.

It is the second line: code does not put secrets into messages. What slips through in a foreign library's error or in a
configuration's own words is caught here, by value where the secret is known to this process, else by its form.
"""

import re
from collections.abc import Iterable

MASK = "***"
#: shorter values are no secrets, and cutting them out would garble messages
SHORTEST = 8

#: (what has the form of a secret, what is left of it)
_FORMS: tuple[tuple[re.Pattern[str], str], ...] = (
    # user:password@ of a URL; the user may be empty, as in Redis' own URLs
    (re.compile(r"(://)[^/\s:@]*:[^/\s@]+@"), rf"\1{MASK}@"),
    # a header, a keyword or a field that holds one, in any of the ways they are written down
    (
        re.compile(
            r"""(?ix)\b((?:proxy-)?authorization|(?:[a-z0-9]+[-_])*(?:(?:api|access|secret)[-_]?key|password|passwd|secret|token))
            (["']?\s*[:=,]\s*(?:b?["'])?(?:(?:bearer|basic|digest)\s+)?)(?!\*\*\*)[^\s"',&)}\]]{4,}"""
        ),
        rf"\1\2{MASK}",
    ),
    (re.compile(r"(?i)\b(bearer|basic)\s+(?!\*\*\*)[A-Za-z0-9._~+/=-]{8,}"), rf"\1 {MASK}"),
    # keys known by their prefixes: OpenAI and Anthropic and ours, Google, Groq, xAI, Hugging Face, Standard Webhooks
    (re.compile(r"\bsk-[A-Za-z0-9_-]{12,}"), f"sk-{MASK}"),
    (re.compile(r"\bAIza[A-Za-z0-9_-]{30,}"), f"AIza{MASK}"),
    (re.compile(r"\b(gsk_|xai-|hf_)[A-Za-z0-9]{12,}"), rf"\1{MASK}"),
    (re.compile(r"\bwhsec_[A-Za-z0-9+/=]{12,}"), f"whsec_{MASK}"),
)


class Redactor:
    """Knows secrets of this process, and the forms of others."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._known: list[str] = []
        self.learn(secrets)

    def learn(self, secrets: Iterable[str]) -> None:
        """Take these out too from now on; a longer one before a shorter one that is part of it."""
        known = {*self._known, *(secret for secret in secrets if len(secret) >= SHORTEST)}
        self._known = sorted(known, key=len, reverse=True)

    def redact(self, text: str) -> str:
        """The text without secrets."""
        for secret in self._known:
            text = text.replace(secret, MASK)
        for form, left in _FORMS:
            text = form.sub(left, text)
        return text
