"""Keys, tokens and passwords in text.

Most vendors begin their keys with a word of their own, so that they can be found; these words and lengths are from the
vendors' own documentation and from what their secret scanning partners publish. Nothing is decoded or tried: a match
says that a text looks like a key, not that it opens anything.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator

from penstock.guard.findings import Span, without_overlaps

#: kind, words of which one must be there (cheaper than the pattern), pattern; a group named `secret` narrows the span
_ROWS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    (
        "private_key",
        ("-----BEGIN",),
        r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
        r"(?s:.{1,16384}?)(?:-----END (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----|\Z)",
    ),
    ("aws_access_key", ("AKIA", "ASIA"), r"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b"),
    (
        "aws_secret_key",
        ("aws", "AWS", "ecret"),
        r"(?i:aws.{0,20}|secret.?access.?key.{0,10})[=:\s\"']{1,5}(?P<secret>[A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])",
    ),
    ("github_token", ("gh", "github_pat_"), r"\b(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{40,255})\b"),
    ("gitlab_token", ("glpat-", "glrt-", "gldt-"), r"\bgl(?:pat|rt|dt)-[A-Za-z0-9_-]{20,}"),
    ("slack_token", ("xox", "xapp-"), r"\b(?:xox[abeoprs]-[A-Za-z0-9-]{10,}|xapp-\d-[A-Za-z0-9-]{20,})"),
    (
        "slack_webhook",
        ("hooks.slack.com",),
        r"hooks\.slack\.com/(?:services|workflows)/T[A-Za-z0-9]+/[A-Za-z0-9]+/[A-Za-z0-9]{8,}",
    ),
    ("stripe_key", ("k_live_", "k_test_"), r"\b[rs]k_(?:live|test)_[A-Za-z0-9]{16,}"),
    ("anthropic_key", ("sk-ant-",), r"\bsk-ant-[a-z]+\d{2}-[A-Za-z0-9_-]{24,}"),
    (
        "openai_key",
        ("sk-",),
        r"\bsk-(?:proj|svcacct|admin|None)-[A-Za-z0-9_-]{20,}|\bsk-[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20}\b"
        r"|\bsk-[A-Za-z0-9]{48}\b",
    ),
    ("openrouter_key", ("sk-or-",), r"\bsk-or-v\d-[0-9a-f]{64}\b"),
    ("google_api_key", ("AIza",), r"\bAIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])"),
    ("google_oauth_token", ("ya29.",), r"\bya29\.[A-Za-z0-9_-]{30,}"),
    ("google_oauth_secret", ("GOCSPX-",), r"\bGOCSPX-[A-Za-z0-9_-]{28}"),
    ("huggingface_token", ("hf_",), r"\bhf_[A-Za-z0-9]{34,}\b"),
    ("groq_key", ("gsk_",), r"\bgsk_[A-Za-z0-9]{40,}\b"),
    ("npm_token", ("npm_",), r"\bnpm_[A-Za-z0-9]{36}\b"),
    ("pypi_token", ("pypi-",), r"\bpypi-AgE[A-Za-z0-9_-]{50,}"),
    ("sendgrid_key", ("SG.",), r"\bSG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}"),
    ("twilio_key", ("SK", "AC"), r"\b(?:SK|AC)[0-9a-f]{32}\b"),
    ("mailgun_key", ("key-",), r"\bkey-[0-9a-f]{32}\b"),
    ("databricks_token", ("dapi",), r"\bdapi[0-9a-f]{32}(?:-\d)?\b"),
    ("digitalocean_token", ("_v1_",), r"\bdo[opr]_v1_[0-9a-f]{64}\b"),
    ("shopify_token", ("shp",), r"\bshp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}\b"),
    ("telegram_token", (":AA",), r"\b\d{8,10}:AA[A-Za-z0-9_-]{33}(?![A-Za-z0-9_-])"),
    ("webhook_secret", ("whsec_",), r"\bwhsec_[A-Za-z0-9+/]{32,}={0,2}"),
    ("json_web_token", ("eyJ",), r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{20,}"),
    (
        "url_password",
        ("://",),
        r"\b[a-z][a-z0-9+.-]{1,20}://[^\s:/@?#\"'<>]{0,64}:(?P<secret>[^\s/@?#\"'<>]{3,128})@[A-Za-z0-9.\[-]",
    ),
    (
        "bearer_token",
        ("earer ", "EARER "),
        r"(?i:authorization['\"]?\s{0,3}[:=]\s{0,3}['\"]?bearer )(?P<secret>[A-Za-z0-9._~+/-]{16,}=*)",
    ),
    (
        "password",
        ("=", ":", " is "),
        r"(?i:(?<![a-z])(?:password|passwd|passphrase|pwd|secret|token|api[_-]?key|access[_-]?key|auth[_-]?key"
        r"|client[_-]?secret))['\"]?(?:\s{0,3}(?::|=|:=|=>)\s{0,3}|\sis:?\s{1,2})(?P<quote>['\"`]?)(?P<secret>[^\s'\"`,;<>(){}]{8,200})",
    ),
)
_PATTERNS = tuple((kind, words, re.compile(pattern)) for kind, words, pattern in _ROWS)
#: what stands where a secret would, in code and manuals
_STAND_IN = re.compile(
    r"(?i)^\$|\$[{(]|^(?:password|passwd|pass|pw|secret)$|%[a-z(]|\*{3}|x{4}|\.{3}|your|example|placeholder|changeme|change_me|redacted|dummy|process\.env|getenv"
    r"|environ|secrets?\.|config\.|settings\.|self\.|\[[A-Z0-9_]+\]"
)
#: bits per character; words and names have less than a made-up password with digits in it
_LEAST_ENTROPY = 2.8


class SecretsCheck:
    """Finds keys, tokens and passwords."""

    def find(self, text: str) -> list[Span]:
        """See `TextCheck`."""
        return without_overlaps(list(_found(text)))


def _found(text: str) -> Iterator[Span]:
    for kind, words, pattern in _PATTERNS:
        if not any(word in text for word in words):
            continue
        for match in pattern.finditer(text):
            start, end = match.span("secret" if "secret" in pattern.groupindex else 0)
            if kind == "password" and not _is_password(match["secret"], quoted=bool(match["quote"])):
                continue
            if kind in {"url_password", "aws_secret_key", "bearer_token"} and _STAND_IN.search(match["secret"]):
                continue
            yield Span(start, end, kind)


def _is_password(value: str, *, quoted: bool) -> bool:
    """Whether what is assigned to a name like `password` is one, and not code or a word about passwords."""
    if _STAND_IN.search(value):
        return False
    mixed = any(c.isdigit() for c in value) and any(c.isalpha() for c in value)
    strange = any(not c.isalnum() and c not in "._-/:" for c in value)
    return (mixed or (quoted and strange)) and _entropy(value) >= _LEAST_ENTROPY


def _entropy(value: str) -> float:
    counts = Counter(value).values()
    return -sum(n / len(value) * math.log2(n / len(value)) for n in counts)
