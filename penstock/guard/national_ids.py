"""National identity, tax and insurance numbers, judged by their own check digits (python-stdnum).

A number whose form alone is too common (nine digits with one check digit are met by one number in ten) counts only with
a word beside it that names it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType

from stdnum.at import vnr
from stdnum.au import tfn
from stdnum.be import nn
from stdnum.br import cpf
from stdnum.ca import sin
from stdnum.ch import ssn as ahv
from stdnum.de import idnr
from stdnum.dk import cpr
from stdnum.es import dni, nie
from stdnum.fi import hetu
from stdnum.fr import nir
from stdnum.gb import nhs
from stdnum.in_ import aadhaar, pan
from stdnum.it import codicefiscale
from stdnum.kr import rrn
from stdnum.mx import curp
from stdnum.nl import bsn
from stdnum.no import fodselsnummer
from stdnum.pl import pesel
from stdnum.se import personnummer
from stdnum.us import itin, ssn
from stdnum.za import idnr as south_african_id

from penstock.guard.findings import Span

#: a naming word counts up to so many characters before the number
_NEAR = 48


@dataclass(frozen=True, slots=True)
class _Kind:
    """One number: its form, what judges it, and the words that name it (empty: its form says enough)."""

    pattern: re.Pattern[str]
    judge: ModuleType
    named: re.Pattern[str] | None


def _kind(pattern: str, judge: ModuleType, named: str = "") -> _Kind:
    bounded = re.compile(rf"(?<![\w.-]){pattern}(?![\w]|[.-]\d)")
    return _Kind(bounded, judge, re.compile(rf"(?i)\b(?:{named})\b") if named else None)


_TAX = r"tax.?id|steuer.?id\w*|identifikationsnummer|idnr|tin"
_KINDS = (
    _kind(r"\d{3}-\d{2}-\d{4}", ssn),
    _kind(r"\d{9}", ssn, r"ssn|social security(?: number| no\.?)?"),
    _kind(r"9\d{2}-\d{2}-\d{4}", itin),
    _kind(r"\d{2} ?\d{3} ?\d{3} ?\d{3}", idnr, _TAX),
    _kind(r"[12] ?\d{2} ?\d{2} ?(?:\d{2}|2[AB]) ?\d{3} ?\d{3} ?\d{2}", nir),
    _kind(r"\d{8}-?[A-Z]", dni),
    _kind(r"[XYZ]-?\d{7}-?[A-Z]", nie),
    _kind(r"[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z]", codicefiscale),
    _kind(r"\d{9}", bsn, r"bsn|burgerservicenummer|sofinummer"),
    _kind(r"\d{11}", pesel, r"pesel"),
    _kind(r"\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}", nn),
    _kind(r"(?:\d{2})?\d{6}[-+]\d{4}", personnummer, r"personnummer|personal identity number|svensk\w*|swedish"),
    _kind(r"\d{6}[-+A]\d{3}[0-9A-FHJ-NPR-Y]", hetu),
    _kind(r"\d{6} ?\d{5}", fodselsnummer, r"f[øo]dselsnummer|personnummer|norwegian"),
    _kind(r"\d{6}-?\d{4}", cpr, r"cpr(?:-nummer|-nr)?|danish"),
    _kind(r"\d{3} ?\d{3} ?\d{4}", nhs, r"nhs(?: number| no\.?)?"),
    _kind(r"756\.\d{4}\.\d{4}\.\d{2}", ahv),
    _kind(r"\d{4} ?\d{6}", vnr, r"svnr|sozialversicherungsnummer|versicherungsnummer"),
    _kind(r"\d{3}\.\d{3}\.\d{3}-\d{2}", cpf),
    _kind(r"\d{11}", cpf, r"cpf"),
    _kind(r"[2-9]\d{3} ?\d{4} ?\d{4}", aadhaar, r"aadhaar|aadhar|uidai"),
    _kind(r"[A-Z]{3}[ABCFGHLJPT][A-Z]\d{4}[A-Z]", pan, r"pan|permanent account number|income tax"),
    _kind(r"\d{3}[ -]?\d{3}[ -]?\d{3}", sin, r"sin|social insurance(?: number)?|nas"),
    _kind(r"\d{3} ?\d{3} ?\d{2,3}", tfn, r"tfn|tax file number"),
    _kind(r"\d{6}-\d{7}", rrn),
    _kind(r"\d{13}", south_african_id, r"id(?: number| no\.?)?|south african"),
    _kind(r"[A-Z]{4}\d{6}[HMX][A-Z]{5}[A-Z0-9]\d", curp),
)
#: the United Kingdom's national insurance number has no check digit; its letters: HM Revenue & Customs, NIM39110
_NINO = re.compile(r"\b(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D]\b")
_LOOKS_LIKE_ONE = re.compile(r"\d{2}")


def national_ids(text: str) -> Iterator[Span]:
    """The numbers of this kind in a text; they may overlap."""
    if not _LOOKS_LIKE_ONE.search(text):
        return
    for kind in _KINDS:
        for match in kind.pattern.finditer(text):
            if kind.named is not None and not _named(kind.named, text, match.start()):
                continue
            if kind.judge.is_valid(match[0]):
                yield Span(match.start(), match.end(), "national_id")
    for match in _NINO.finditer(text):
        yield Span(match.start(), match.end(), "national_id")


def _named(words: re.Pattern[str], text: str, at: int) -> bool:
    return words.search(text, max(at - _NEAR, 0), at) is not None
