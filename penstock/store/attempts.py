"""Attempts: what was really sent upstream. The rows are written by `finish`."""

from collections.abc import Iterable

from penstock.store.database import Database


class SpentBy:
    """Answers what a provider, or one upstream model of it, took lately. Deployments: (name, provider, upstream)."""

    def __init__(self, database: Database, deployments: Iterable[tuple[str, str, str]]) -> None:
        self._database = database
        self._deployments = list(deployments)

    async def __call__(self, provider: str, model: str | None, seconds: float) -> tuple[int, int]:
        """Requests and tokens of the last `seconds`."""
        names = [name for name, owner, upstream in self._deployments if owner == provider and model in (None, upstream)]
        return await spent(self._database, names, seconds)


async def spent(database: Database, deployments: list[str], seconds: float) -> tuple[int, int]:
    """(requests, tokens) that these deployments took in the last `seconds`, running jobs counted by their estimate."""
    row = await database.fetch_one(
        """
        SELECT (SELECT count(*) FROM attempts a
                WHERE a.deployment = ANY(%(names)s) AND a.started_at > now() - make_interval(secs => %(seconds)s))
             + (SELECT count(*) FROM jobs j WHERE j.state = 'running' AND j.deployment = ANY(%(names)s)) AS requests,
               (SELECT coalesce(sum(a.input_tokens + a.output_tokens), 0) FROM attempts a
                WHERE a.deployment = ANY(%(names)s) AND a.started_at > now() - make_interval(secs => %(seconds)s))
             + (SELECT coalesce(sum(j.tokens), 0) FROM jobs j
                WHERE j.state = 'running' AND j.deployment = ANY(%(names)s)) AS tokens
        """,
        {"names": deployments, "seconds": seconds},
    )
    return (int(row["requests"]), int(row["tokens"])) if row else (0, 0)
