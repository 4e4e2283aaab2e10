"""What one call's headers say of the provider's limits, on its way to the quota."""

from collections.abc import Mapping

from penstock.limits import headers
from penstock.limits.buckets import DeploymentLimits, Resource
from penstock.limits.quota import Quota
from penstock.providers.base import OnHeaders


class Observed:
    """What the headers of one call say of the provider's limits.

    Those of a plain answer come when the call has been counted, and are settled with it; those of a stream come before
    its tokens, and are passed on at once.
    """

    def __init__(self, quota: Quota, limits: DeploymentLimits, *, streamed: bool) -> None:
        self._quota = quota
        self._limits = limits
        self._streamed = streamed
        self.left: dict[Resource, float] = {}

    def _on_headers(self, status: int, found: Mapping[str, str]) -> None:
        left = headers.left(found)
        if self._streamed and status < 400:
            self._quota.observe(self._limits, left)
        else:
            self.left = left

    @property
    def on_headers(self) -> OnHeaders | None:
        """None where no bucket could learn from it."""
        return self._on_headers if self._limits.buckets else None
