"""The rows of all vendors, and what holds for an address that no provider's `vendor` names."""

from urllib.parse import urlsplit

from penstock.catalogue.compatible import COMPATIBLE, OPENAI
from penstock.catalogue.vendor import Quirks, Vendor

_ROWS = (
    *COMPATIBLE,
    Vendor(
        "anthropic",
        "anthropic",
        "https://api.anthropic.com",
        "ANTHROPIC_API_KEY",
        "https://docs.anthropic.com/en/api/overview",
    ),
    Vendor("cohere", "cohere", "https://api.cohere.com", "CO_API_KEY", "https://docs.cohere.com/v2/reference/chat"),
    Vendor("ollama", "ollama", "http://127.0.0.1:11434", None, "https://docs.ollama.com/api"),
    Vendor(
        "gemini",
        "gemini",
        "https://generativelanguage.googleapis.com/v1beta",
        "GEMINI_API_KEY",
        "https://ai.google.dev/api/generate-content",
    ),
)

VENDORS: dict[str, Vendor] = {row.name: row for row in _ROWS}

#: AWS's partitions that have a domain of their own, by what their regions' names begin with
_AWS_DOMAINS = {
    "cn": "amazonaws.com.cn",
    "eusc-de": "amazonaws.eu",
    "us-iso": "c2s.ic.gov",
    "us-isob": "sc2s.sgov.gov",
    "eu-isoe": "cloud.adc-e.uk",
    "us-isof": "csp.hci.ic.gov",
}

_BY_HOST: dict[tuple[str, str | None], Vendor] = {
    (row.wire_format, urlsplit(row.base_url).hostname): row for row in reversed(_ROWS) if not row.is_local
}


def quirks_of(wire_format: str, base_url: str) -> Quirks:
    """What holds for a provider that names neither a vendor nor quirks: those of the vendor at its address."""
    if wire_format == "azure-openai":
        return OPENAI  # its deployments are of OpenAI's models
    row = _BY_HOST.get((wire_format, _host(base_url)))
    return row.quirks if row else Quirks()


def bedrock_url(region: str) -> str:
    """Where Bedrock serves its models in a region of AWS: no row of the table, as the address depends on it."""
    domain = _AWS_DOMAINS.get(region.rsplit("-", 2)[0], "amazonaws.com")
    return f"https://bedrock-runtime.{region}.{domain}"


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None  # whoever connects to it says so
