"""Signs that a text tries to talk a model out of its instructions.

Heuristics over wording and hidden characters: they catch what is written as everybody writes it, in English, German,
French and Spanish, and miss what is paraphrased. Each sign has a weight; a text is a finding when the weights of its
different signs together reach the threshold. Sources of the wordings: OWASP's LLM01 (prompt injection) and the
published collections of jailbreak prompts it refers to.
"""

import re
from collections.abc import Iterator

from penstock.guard.findings import Span, without_overlaps

_EARLIER = r"(?:previous|prior|above|preceding|earlier|foregoing|former|existing|original|initial|system|your|all|any)"
_RULES = (
    r"(?:instructions?|prompts?|rules?|guidelines?|directions?|commands?|orders?|context|training|programming"
    r"|restrictions?|policies|filters?)"
)
_DROP = r"(?:ignore|disregard|forget|override|bypass|overlook|neglect|drop)"
#: name, weight, pattern
_SIGNS: tuple[tuple[str, float, str], ...] = (
    (
        "drop_instructions",
        1.0,
        rf"\b{_DROP}\b(?:\W+\w+){{0,4}}?\W+{_EARLIER}\b(?:\W+\w+){{0,3}}?\W+{_RULES}\b",
    ),
    (
        "drop_everything",
        1.0,
        rf"\b{_DROP}\s+(?:everything|anything|all|whatever)\b[^.\n]{{0,40}}\b(?:above|before|told|said)\b",
    ),
    (
        "do_not_follow",
        0.7,
        rf"\b(?:do not|don't|stop|no longer|need not)\s+(?:follow|obey|adher\w+"
        rf"|comply)\w*\b[^.\n]{{0,40}}\b{_RULES}\b",
    ),
    (
        "german",
        1.0,
        r"\b(?:ignorier\w*|vergiss|vergesst|missacht\w*)\b[^.\n]{0,60}\b(?:anweisung\w*|instruktion\w*"
        r"|regel\w*|vorgaben?|befehl\w*)\b",
    ),
    (
        "french",
        1.0,
        r"\b(?:ignore[rz]?|oublie[rz]?)\b[^.\n]{0,50}\b(?:instructions|consignes|règles"
        r"|directives)\b[^.\n]{0,30}(?:précédent|antérieur|ci-dessus|initial)",
    ),
    (
        "spanish",
        1.0,
        r"\b(?:ignora\w*|olvida\w*|omite)\b[^.\n]{0,50}\b(?:instrucciones|reglas|indicaciones"
        r"|órdenes)\b[^.\n]{0,30}(?:anterior|previas|arriba|inicial)",
    ),
    (
        "reveal_prompt",
        1.0,
        r"\b(?:reveal|show|print|repeat|output|display|tell|leak|dump)\b[^.\n]{0,40}\b(?:system"
        r"|initial|hidden|secret|developer|original)\s+(?:prompt|instructions?|message)\b",
    ),
    (
        "repeat_above",
        0.7,
        r"\b(?:repeat|print|output|copy)\b[^.\n]{0,30}\b(?:everything|all (?:the )?(?:text|words)"
        r"|the (?:text|words))\s+(?:above|before)\b",
    ),
    (
        "persona",
        1.0,
        r"\b(?:you are|act as|become|pretend (?:to be|you are)|from now on you(?:'re"
        r"| are)?)\b[^.\n]{0,30}\b(?:DAN|do anything now|STAN|jailbroken|unfiltered|uncensored"
        r"|unrestricted)\b",
    ),
    (
        "no_limits",
        0.6,
        r"\b(?:without|no|free (?:of|from)|not bound by|ignoring)\b[^.\n]{0,20}\b(?:restrictions"
        r"|limitations|filters|censorship|ethical guidelines|safety (?:rules|guidelines|policies)"
        r"|content polic\w+)\b",
    ),
    (
        "mode",
        0.8,
        r"\b(?:developer|debug|god|jailbreak|maintenance|admin(?:istrator)?|DAN"
        r"|sudo)\s+mode\b[^.\n]{0,20}\b(?:enabled|activated|on|unlocked)\b|\b(?:enable|activate|enter"
        r"|switch (?:in)?to)\b[^.\n]{0,20}\b(?:developer|god|jailbreak|DAN|unrestricted)\s+mode\b",
    ),
    (
        "new_instructions",
        0.6,
        r"(?:^|\n)\W{0,6}(?:new|updated|real|actual|important)\s+(?:system\s+)?(?:instructions?|task"
        r"|prompt|rules?)\s*:",
    ),
    (
        "to_the_model",
        0.6,
        r"\b(?:note|message|instruction)s?\s+(?:to|for)\s+(?:the\s+)?(?:AI|LLM|assistant|language model"
        r"|chatbot|GPT|agent)s?\b",
    ),
    (
        "conceal",
        0.7,
        r"\b(?:do not|don't|never)\s+(?:tell|inform|mention|reveal|notify"
        r"|alert)\b[^.\n]{0,30}\b(?:the )?(?:user|human|operator|anyone)\b",
    ),
    (
        "exfiltrate",
        0.7,
        r"\b(?:send|post|forward|upload|exfiltrate|e-?mail)\b[^.\n]{0,60}\b(?:conversation|chat history"
        r"|api keys?|credentials|passwords?|secrets?|system prompt|contents? of)\b[^.\n]{0,40}\b(?:to"
        r"|at)\b\s*\S{0,20}(?:https?:|@|\[EMAIL)",
    ),
    (
        "role_token",
        1.0,
        r"<\|(?:im_start|im_end|system|endoftext|start_header_id|eot_id)\|>|\[/?INST\]|<</?SYS>>|(?:^"
        r"|\n)\s{0,4}#{2,4}\s*(?:system|instruction)s?\s*:",
    ),
    (
        "fake_turn",
        0.5,
        r"(?:^|\n)\s{0,4}(?:system|developer)\s*:\s+\S",
    ),
)
#: characters nobody sees: Unicode tags, which can spell out a text, and long runs of invisible ones
_HIDDEN = re.compile("[\U000e0020-\U000e007e]{4,}|[\u200b\u2060\u2062-\u2064\ufeff]{6,}")
_PATTERNS = tuple((name, weight, re.compile(pattern, re.IGNORECASE)) for name, weight, pattern in _SIGNS)
#: emoji flags of regions are spelt with tags too, after a black flag
_FLAG = "\U0001f3f4"


class InjectionCheck:
    """Finds texts whose signs together reach the threshold; the spans are the signs."""

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold

    def find(self, text: str) -> list[Span]:
        """See `TextCheck`."""
        signs = list(_signs(text))
        if sum({name: weight for name, weight, _ in signs}.values()) < self._threshold:
            return []
        return without_overlaps([span for _, _, span in signs])


def _signs(text: str) -> Iterator[tuple[str, float, Span]]:
    for name, weight, pattern in _PATTERNS:
        for match in pattern.finditer(text):
            yield name, weight, Span(match.start(), match.end(), "prompt_injection")
    for match in _HIDDEN.finditer(text):
        if text[match.start() - 1 : match.start()] != _FLAG:
            yield "hidden", 1.0, Span(match.start(), match.end(), "prompt_injection")
