"""Addresses and numbers of persons in text: e-mail, bank account, card, national identity number, telephone.

Numbers are judged by their check digits (python-stdnum: ISO 13616 for IBANs, Luhn for cards) or their numbering plan
(phonenumbers, which is Google's libphonenumber), not by their form alone.
"""

import re
from collections.abc import Callable, Iterator, Sequence

import phonenumbers
from phonenumbers import Leniency, PhoneNumberMatcher
from stdnum import iban, luhn

from penstock.configuration.policies import PersonalDataKind
from penstock.guard.findings import Span, without_overlaps
from penstock.guard.national_ids import national_ids

_EMAIL = re.compile(
    r"(?<![\w.+%-])[\w+%-][\w.+%'-]{0,63}@(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}(?:[^\W\d_]{2,24}|xn--[a-z0-9-]{2,30})(?![\w@])"
)
#: before the user of an address on a server, which only looks like one of a person
_IN_URL = re.compile(r"://[^\s/@]*$")
_IBAN = re.compile(r"(?i)(?<![A-Z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?![A-Z0-9])")
_CARD = re.compile(r"(?<![\w.-])(?:\d[ -]?){12,18}\d(?![\w]|[.-]\d)")
#: ISO/IEC 7812: what the big networks' numbers begin with, and how long they are
_NETWORKS = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2(?:2[2-9]|[3-6]\d|7[01])\d{13}|2720\d{12}|3[47]\d{13}"
    r"|3(?:0[0-5]|[689]\d)\d{11}|6(?:011|4[4-9]\d|5\d{2})\d{12}|35(?:2[89]|[3-8]\d)\d{12}|62\d{14,17}|220[0-4]\d{12}"
)
#: the digits of a telephone number, with what people write between them
_MAYBE_PHONE = re.compile(r"(?:\+|00|\(|\b\d)[\d\s()./\u2010-\u2015-]{5,30}\d")
_INTERNATIONAL = re.compile(r"\+\s?\d")
#: the end of a longer number or identifier, of which a telephone number is no part
_IN_NUMBER = re.compile(r"\d[.,:/_]$|[\w#]$")
#: seven digits is the shortest national number that is looked for; fewer are everywhere
_LEAST_DIGITS = 7
_MOST_TRIES = 65_535


def _emails(text: str) -> Iterator[Span]:
    if "@" not in text:
        return
    for match in _EMAIL.finditer(text):
        if ".." not in match[0] and not _IN_URL.search(text, max(match.start() - 100, 0), match.start()):
            yield Span(match.start(), match.end(), "email")


def _ibans(text: str) -> Iterator[Span]:
    for match in _IBAN.finditer(text):
        # words may follow: the country says how long it is, so shorter ends are tried
        for end in range(len(match[0]), 14, -1):
            if match[0][end - 1] == " " or match[0][end : end + 1].isalnum():
                continue
            # not the banks' own rules: lists of the banks there are get old
            if iban.is_valid(match[0][:end], check_country=False):
                yield Span(match.start(), match.start() + end, "iban")
                break


def _cards(text: str) -> Iterator[Span]:
    for match in _CARD.finditer(text):
        digits = match[0].replace(" ", "").replace("-", "")
        if _NETWORKS.fullmatch(digits) and len(set(digits)) > 1 and luhn.is_valid(digits):
            yield Span(match.start(), match.end(), "card")


def _phones(regions: Sequence[str]) -> Callable[[str], Iterator[Span]]:
    def found(text: str) -> Iterator[Span]:
        if not _MAYBE_PHONE.search(text):
            return
        # any region's matcher finds the international form; "ZZ" stands for none
        for region in regions or (["ZZ"] if _INTERNATIONAL.search(text) else []):
            matcher = PhoneNumberMatcher(text, region, leniency=Leniency.VALID, max_tries=_MOST_TRIES)
            for match in matcher:
                digits = sum(character.isdigit() for character in match.raw_string)
                if digits >= _LEAST_DIGITS and not _IN_NUMBER.search(text, max(match.start - 2, 0), match.start):
                    yield Span(match.start, match.end, "phone")

    return found


class PersonalDataCheck:
    """Finds data of these kinds; where one stretch could be two of them, the one whose digits prove more wins."""

    def __init__(self, kinds: Sequence[PersonalDataKind], phone_regions: Sequence[str]) -> None:
        unknown = set(phone_regions) - phonenumbers.SUPPORTED_REGIONS
        if unknown:
            raise ValueError(f"unknown phone regions: {', '.join(sorted(unknown))}")
        every: dict[PersonalDataKind, Callable[[str], Iterator[Span]]] = {
            "email": _emails,
            "iban": _ibans,
            "card": _cards,
            "national_id": national_ids,
            "phone": _phones(phone_regions),
        }
        self._finders = [finder for kind, finder in every.items() if kind in kinds]

    def find(self, text: str) -> list[Span]:
        """See `TextCheck`."""
        return without_overlaps([span for finder in self._finders for span in finder(text)])
