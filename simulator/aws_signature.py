"""Checking AWS Signature Version 4, as a service does: the signature is made anew from what arrived, and compared."""

import hashlib
import hmac
import re
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from simulator.refusal import RefusalError
from simulator.vendor import Head

SCHEME = "AWS4-HMAC-SHA256"

_AUTHORIZATION = re.compile(
    rf"{SCHEME} Credential=(?P<id>\w+)/(?P<day>\d{{8}})/(?P<region>[a-z]+(?:-[a-z]+)+-\d+)/(?P<service>[\w-]+)"
    r"/aws4_request, ?SignedHeaders=(?P<names>[a-z0-9;-]+), ?Signature=(?P<signature>[0-9a-f]{64})"
)
#: how far a client's clock may be off
_TOLERANCE = timedelta(minutes=5)
_WRONG = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key "
    "and signing method. Consult the service documentation for details."
)


def check(head: Head, secret: str, service: str) -> None:
    """Raise `RefusalError` unless the call is signed with the secret, now, for the service."""
    parts = _AUTHORIZATION.fullmatch(head.get("Authorization", ""))
    stamp = head.get("X-Amz-Date", "")
    if parts is None or not re.fullmatch(r"\d{8}T\d{6}Z", stamp):
        raise _refused("IncompleteSignatureException", "The Authorization header or the date is not in its form.")
    if parts["service"] != service or parts["day"] != stamp[:8]:
        raise _refused("InvalidSignatureException", "The credential is scoped to another service or another date.")
    at = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    if abs(datetime.now(UTC) - at) > _TOLERANCE:
        raise _refused("InvalidSignatureException", f"Signature expired or not yet current: {stamp}")
    names = parts["names"].split(";")
    own = {name.lower() for name in head if name.lower().startswith("x-amz-")}
    if names != sorted(names) or not {"host", *own} <= set(names):
        raise _refused("InvalidSignatureException", "The host and all x-amz- headers must be signed, in order.")
    expected = _signature(head, secret, stamp, parts["region"], service, names)
    if not hmac.compare_digest(expected, parts["signature"]):
        raise _refused("InvalidSignatureException", _WRONG)


def _signature(head: Head, secret: str, stamp: str, region: str, service: str, names: list[str]) -> str:
    path, _, query = head.target.partition("?")
    canonical = [head.method, quote(path, safe="/~"), "&".join(sorted(query.split("&")))]
    canonical += [f"{name}:{re.sub(' +', ' ', head.get(name, '').strip())}" for name in names]
    canonical += ["", ";".join(names), hashlib.sha256(head.body).hexdigest()]
    scope = [stamp[:8], region, service, "aws4_request"]
    hashed = hashlib.sha256("\n".join(canonical).encode()).hexdigest()
    text = "\n".join([SCHEME, stamp, "/".join(scope), hashed])
    key = ("AWS4" + secret).encode()
    for step in [*scope, text]:
        key = hmac.digest(key, step.encode(), "sha256")
    return key.hex()


def _refused(kind: str, message: str) -> RefusalError:
    return RefusalError(403, message, code=kind)
