"""AWS Signature Version 4: the headers that prove who sends a request, and that nobody changed it.

After AWS's "Create a signed AWS API request" (IAM user guide), in the form for every service but S3: the path is
normalised, and encoded once more than it is on the wire.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote, unquote

_ALGORITHM = "AWS4-HMAC-SHA256"
_UNRESERVED = "-_.~"


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs requests to one service in one region. A session token belongs to temporary credentials."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    region: str
    service: str
    session_token: str | None = field(default=None, repr=False)

    def sign(
        self, method: str, target: str, headers: Mapping[str, str], content: bytes, at: datetime
    ) -> dict[str, str]:
        """The headers to add: `x-amz-date`, `authorization`, and the session token if there is one.

        `target` is the path and query exactly as they go on the wire. All of `headers` are signed, the host among them,
        so they must arrive unchanged; headers that a transport may rewrite are better left out. `at` is an aware time:
        the services refuse a signature that is more than a few minutes old, or ahead of their own clock.
        """
        stamp = at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
        added = {"x-amz-date": stamp}
        if self.session_token is not None:
            added["x-amz-security-token"] = self.session_token
        signed = {name.lower(): " ".join(value.split()) for name, value in headers.items()} | added
        names = ";".join(sorted(signed))
        request = canonical_request(method, target, signed, names, content)
        scope = f"{stamp[:8]}/{self.region}/{self.service}/aws4_request"
        to_sign = f"{_ALGORITHM}\n{stamp}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
        signature = hmac.new(self._key(stamp[:8]), to_sign.encode(), hashlib.sha256).hexdigest()
        credential = f"Credential={self.access_key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
        return added | {"authorization": f"{_ALGORITHM} {credential}"}

    def _key(self, day: str) -> bytes:
        """The key of one day, region and service."""
        key = f"AWS4{self.secret_access_key}".encode()
        for part in (day, self.region, self.service, "aws4_request"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        return key


def canonical_request(method: str, target: str, signed: Mapping[str, str], names: str, content: bytes) -> str:
    """The request in the one spelling that both sides hash; `names` are those of the signed headers, in order."""
    path, _, query = target.partition("?")
    lines = "".join(f"{name}:{signed[name]}\n" for name in names.split(";"))
    digest = hashlib.sha256(content).hexdigest()
    return "\n".join((method, quote(_normalised(path), safe="/" + _UNRESERVED), _query(query), lines, names, digest))


def _normalised(path: str) -> str:
    """Without empty, `.` and `..` segments."""
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in {"", "."}:
            kept.append(segment)
    return "/" + "/".join(kept) + ("/" if kept and path.endswith("/") else "")


def _query(query: str) -> str:
    """The parameters, sorted as they are encoded; one without a value gets an empty one."""
    pairs = (pair.partition("=") for pair in query.split("&") if pair)
    encoded = (
        (quote(unquote(name), safe=_UNRESERVED), quote(unquote(value), safe=_UNRESERVED)) for name, _, value in pairs
    )
    return "&".join(f"{name}={value}" for name, value in sorted(encoded))
