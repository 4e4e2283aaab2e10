"""What a response continues is looked up when it is submitted, and copied into its stored body."""

import re
from typing import Any
from uuid import UUID

from penstock.completion.encoding import dumps
from penstock.dialects import openai_responses, responses_history
from penstock.dialects.facts import JobFacts
from penstock.dialects.responses_history import MAX_BYTES, MAX_DEPTH
from penstock.errors import InvalidRequest, NotFound
from penstock.ids import parse_id
from penstock.store import jobs
from penstock.store.database import Database
from penstock.submission.results import facts_of

DIALECT = "openai.responses"
#: responses whose items one input may refer to
MAX_REFERENCED = 100
#: an item's id names the response it is of, and its place there (see `responses_object.item`)
_ITEM_ID = re.compile(r"(?:msg|rs|fc)_([0-9a-f]{32})_([0-9]{1,6})")


class Continuations:
    """Finds earlier responses. `remember` keeps the last one found, for a file whose lines continue the same one."""

    def __init__(self, database: Database, *, remember: bool = False) -> None:
        self._database = database
        self._remember = remember
        self._last: tuple[tuple[str, UUID], JobFacts | None] | None = None

    async def attach(self, tenant_id: str, dialect: str, body: dict[str, Any]) -> dict[str, Any]:
        """The body to be stored: with the conversation and the items it names, as they are now.

        Raises:
            InvalidRequest: they cannot be continued; `param` says which.
        """
        if dialect != DIALECT:
            return body
        if responses_history.KEY in body:
            body = {name: value for name, value in body.items() if name != responses_history.KEY}
        named, wanted = body.get("previous_response_id"), _references(body)
        if not isinstance(named, str) and not wanted:
            return body
        history: dict[str, Any] = {}
        if isinstance(named, str):
            history |= await self._conversation(tenant_id, named)
        if wanted:
            history["references"] = await self._referenced(tenant_id, wanted)
        if len(dumps(history)) > MAX_BYTES:
            param = "input" if named is None else "previous_response_id"
            raise _refused(f"What the response continues is larger than {MAX_BYTES} bytes.", param)
        return {**body, responses_history.KEY: history}

    async def attach_or_note(self, tenant_id: str, dialect: str, body: dict[str, Any]) -> dict[str, Any]:
        """As `attach`; what stands in the way is copied instead, and becomes the error of the request when it runs."""
        try:
            return await self.attach(tenant_id, dialect, body)
        except InvalidRequest as error:
            told = {"message": error.message, "param": error.param, "code": error.code}
            return {**body, responses_history.KEY: {"error": told}}

    async def _conversation(self, tenant_id: str, named: str) -> dict[str, Any]:
        try:
            job_id = parse_id("resp_", named, "response")
        except NotFound:
            raise openai_responses.previous_not_found(named) from None
        facts = await self._find(tenant_id, job_id)
        if facts is None:
            raise openai_responses.previous_not_found(named)
        if not facts.ended:
            raise _refused(f"The response '{named}' is still in progress: continue it when it has ended.")
        if facts.state != "succeeded":
            raise _refused(
                f"The response '{named}' is {openai_responses.status(facts)}: there is no answer to continue."
            )
        depth = responses_history.depth(facts) + 1
        if depth > MAX_DEPTH:
            raise _refused(f"The conversation is longer than {MAX_DEPTH} responses; send its items in 'input'.")
        return {"items": responses_history.conversation(facts), "depth": depth}

    async def _referenced(self, tenant_id: str, wanted: list[str]) -> dict[str, Any]:
        """The items that can be found; what is missing is told when the input is read."""
        places = {item_id: (UUID(hex=m[1]), int(m[2])) for item_id in wanted if (m := _ITEM_ID.fullmatch(item_id))}
        owners = {job_id for job_id, _ in places.values()}
        if len(owners) > MAX_REFERENCED:
            raise _refused(f"The input refers to items of more than {MAX_REFERENCED} responses.", "input")
        answers = {job_id: await self._find(tenant_id, job_id) for job_id in owners}
        items = {}
        for item_id, (job_id, index) in places.items():
            facts = answers[job_id]
            if facts is None or facts.state != "succeeded":
                continue
            item = responses_history.output_item(facts, index)
            if item is not None:
                items[item_id] = item
        return items

    async def _find(self, tenant_id: str, job_id: UUID) -> JobFacts | None:
        """A response that this tenant could also retrieve and that was to be stored."""
        key = (tenant_id, job_id)
        if self._last is not None and self._last[0] == key:
            return self._last[1]
        row = await jobs.load(self._database, tenant_id, job_id)
        found = None
        if row is not None and row.dialect == DIALECT and row.batch_id is None:
            facts = facts_of(row)
            found = facts if facts.body.get("store") is not False else None
        if self._remember and (found is None or found.ended):
            self._last = key, found
        return found


def _references(body: dict[str, Any]) -> list[str]:
    value = body.get("input")
    if not isinstance(value, list):
        return []
    ids = [item.get("id") for item in value if responses_history.is_reference(item)]
    return [item_id for item_id in ids if isinstance(item_id, str)]


def _refused(message: str, param: str = "previous_response_id") -> InvalidRequest:
    return InvalidRequest(message, param=param, code="invalid_value")
