"""What the user's commands ask of the API, what they print, and how they fail."""

import json
import re
import socket
import time
from pathlib import Path
from typing import Any

import pytest
import typer
from click.testing import Result
from stand_in_api import Api
from typer.testing import CliRunner

from cli import keys, live_results, user


@pytest.fixture
def app() -> typer.Typer:
    made = typer.Typer()
    for command in (user.submit, user.watch, user.results, user.cancel):
        made.command()(command)
    made.add_typer(keys.app, name="keys")
    return made


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user, "_POLL_SECONDS", 0.01)
    monkeypatch.setattr(live_results, "_RETRY_SECONDS", 0.01)


def batch(status: str, done: int = 0, **more: Any) -> dict[str, Any]:
    counts = {"total": 2, "completed": done, "failed": 0}
    files = {"output_file_id": None, "error_file_id": None, "errors": None}
    return {"id": "batch_1", "status": status, "request_counts": counts, "cost": 0.5, "usage": None} | files | more


def run(app: typer.Typer, api: Api, *arguments: str, key: str | None = "sk-1") -> Result:
    options = ["--url", api.url] + (["--key", key] if key else [])
    return CliRunner().invoke(app, [*arguments, *options])


def test_submit_uploads_creates_and_prints_the_id_alone(app: typer.Typer, api: Api, tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    file.write_text('{"custom_id": "a"}\n')
    api.on("POST /v1/files", {"id": "file-1"})
    api.on("POST /v1/batches", batch("validating"))
    result = run(app, api, "submit", str(file), "--endpoint", "/v1/responses")
    assert (result.exit_code, result.stdout) == (0, "batch_1\n")
    upload, create = api.asked
    assert b'{"custom_id": "a"}' in upload.body
    assert b'name="purpose"\r\n\r\nbatch' in upload.body
    assert json.loads(create.body) == {
        "input_file_id": "file-1",
        "endpoint": "/v1/responses",
        "completion_window": "24h",
    }
    assert create.key == "sk-1"


def test_submit_says_when_the_batch_will_be_done_and_that_it_cannot_meet_its_window(
    app: typer.Typer, api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user, "_EXPECTATION_POLL_SECONDS", 0.01)
    file = tmp_path / "in.jsonl"
    file.write_text("{}\n")
    unknown = {"estimated_completion_at": None, "warning": None}
    known = {"estimated_completion_at": int(time.time()) + 7200, "warning": "It cannot be."}
    api.on("POST /v1/files", {"id": "file-1"})
    api.on("POST /v1/batches", batch("validating", **unknown))
    api.on("GET /v1/batches/batch_1", batch("in_progress", **unknown), batch("in_progress", **known))
    result = run(app, api, "submit", str(file), "--window", "1h", "--priority", "-5")
    assert (result.exit_code, result.stdout) == (0, "batch_1\n")
    made = json.loads(api.asked[1].body)
    assert (made["completion_window"], made["priority"]) == ("1h", -5)
    first, second = result.stderr.splitlines()
    assert re.fullmatch(r"expected to be done at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d, in (2:00:00|1:59:5\d)", first)
    assert second == "warning: It cannot be."


def test_submit_and_watch_ends_with_the_batch(app: typer.Typer, api: Api, tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    file.write_text("{}\n")
    api.on("POST /v1/files", {"id": "file-1"})
    api.on("POST /v1/batches", batch("validating"))
    api.on("GET /v1/batches/batch_1", batch("in_progress", 1), batch("completed", 2))
    result = run(app, api, "submit", str(file), "--watch")
    assert result.exit_code == 0
    assert "2/2 rows" in result.stderr
    assert "$0.5000" in result.stderr


def test_watch_says_which_line_a_refused_file_broke_at(app: typer.Typer, api: Api) -> None:
    errors = {"data": [{"code": "invalid_json_line", "line": 317, "message": "not JSON", "param": None}]}
    api.on("GET /v1/batches/batch_1", batch("failed", errors=errors))
    result = run(app, api, "watch", "batch_1")
    assert result.exit_code == 1
    assert "line 317: not JSON" in result.stderr


@pytest.mark.parametrize("status", ["expired", "cancelled"])
def test_watch_of_a_batch_that_did_not_complete_fails(app: typer.Typer, api: Api, status: str) -> None:
    api.on("GET /v1/batches/batch_1", batch(status, 1))
    result = run(app, api, "watch", "batch_1")
    assert result.exit_code == 1
    assert status in result.stderr.splitlines()[-1]


def test_watch_outlives_a_restart_of_the_server(app: typer.Typer, api: Api) -> None:
    api.on("GET /v1/batches/batch_1", batch("in_progress"))
    api.answers["GET /v1/batches/batch_1"] += [(503, {"error": {"message": "away"}}), (200, batch("completed", 2))]
    assert run(app, api, "watch", "batch_1").exit_code == 0


def test_results_go_to_stdout_answers_first(app: typer.Typer, api: Api) -> None:
    api.on("GET /v1/batches/batch_1", batch("completed", 2, output_file_id="file-o", error_file_id="file-e"))
    api.on("GET /v1/files/file-o/content", b'{"custom_id":"a"}\n')
    api.on("GET /v1/files/file-e/content", b'{"custom_id":"b"}\n')
    assert run(app, api, "results", "batch_1").stdout == '{"custom_id":"a"}\n{"custom_id":"b"}\n'


def test_results_in_a_file_have_their_errors_beside_it(app: typer.Typer, api: Api, tmp_path: Path) -> None:
    api.on("GET /v1/batches/batch_1", batch("completed", 2, output_file_id="file-o", error_file_id="file-e"))
    api.on("GET /v1/files/file-o/content", b"answers")
    api.on("GET /v1/files/file-e/content", b"errors")
    assert run(app, api, "results", "batch_1", "-o", str(tmp_path / "out.jsonl")).exit_code == 0
    found = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert found == {"out.jsonl": b"answers", "out.errors.jsonl": b"errors"}


def test_results_that_do_not_come_leave_no_file(app: typer.Typer, api: Api, tmp_path: Path) -> None:
    api.on("GET /v1/batches/batch_1", batch("completed", 2, output_file_id="file-o"))
    assert run(app, api, "results", "batch_1", "-o", str(tmp_path / "out.jsonl")).exit_code == 1
    assert list(tmp_path.iterdir()) == []


def test_results_of_a_running_batch_are_not_there_yet(app: typer.Typer, api: Api) -> None:
    api.on("GET /v1/batches/batch_1", batch("in_progress", 1))
    result = run(app, api, "results", "batch_1")
    assert result.exit_code == 1
    assert "in_progress" in result.stderr


def test_cancel_prints_the_new_status(app: typer.Typer, api: Api) -> None:
    api.on("POST /v1/batches/batch_1/cancel", batch("cancelling"))
    assert run(app, api, "cancel", "batch_1").stdout == "cancelling\n"


NEW_KEY = {
    "id": "key_1", "tenant": "evals", "tier": "unlimited", "scopes": ["read", "write"], "residency": "eu",
    "key": "sk-new",
}  # fmt: skip


def test_a_new_key_is_alone_on_stdout(app: typer.Typer, api: Api) -> None:
    api.on("POST /admin/keys", NEW_KEY)
    result = run(app, api, "keys", "create", "--tenant", "evals")
    assert result.stdout == "sk-new\n"
    assert json.loads(api.asked[0].body) == {"tenant": "evals", "name": ""}
    run(app, api, "keys", "create", "--scope", "read", "--scope", "admin", "--tier", "pro", "--expires-in-days", "7")
    told = run(app, api, "keys", "create", "--residency", "eu")
    assert "data stays in eu" in told.stderr
    assert json.loads(api.asked[2].body)["residency"] == "eu"
    assert json.loads(api.asked[1].body) == {
        "tenant": "default",
        "name": "",
        "tier": "pro",
        "scopes": ["read", "admin"],
        "expires_in_days": 7,
    }


def test_a_rotated_key_is_alone_on_stdout(app: typer.Typer, api: Api) -> None:
    api.on("POST /admin/keys/key_1/rotate", NEW_KEY)
    assert run(app, api, "keys", "rotate", "key_1", "--keep-old").stdout == "sk-new\n"
    assert json.loads(api.asked[0].body) == {"keep_old_key_active_for_24_hours": True}


def test_keys_are_listed_whole(app: typer.Typer, api: Api) -> None:
    """An id cut to the width of the terminal could not be revoked; and all pages are shown."""
    row = {"id": "key_" + "0" * 32, "tenant": "evals", "tier": "unlimited", "name": "nightly", "hint": "…abcd"}
    row |= {"scopes": ["read"], "residency": None, "created_at": 1790000000, "expires_at": None, "revoked_at": 1}
    second = row | {"id": "key_" + "1" * 32, "revoked_at": None, "expires_at": 1}
    api.on("GET /admin/keys?limit=1000", {"data": [row], "has_more": True, "last_id": row["id"]})
    api.on(f"GET /admin/keys?after={row['id']}&limit=1000", {"data": [second], "has_more": False, "last_id": None})
    result = run(app, api, "keys", "list")
    assert row["id"] in result.stdout
    assert "revoked" in result.stdout
    assert second["id"] in result.stdout
    assert "expired 1970-01-01" in result.stdout


def test_a_key_is_revoked_by_its_id(app: typer.Typer, api: Api) -> None:
    api.on("DELETE /admin/keys/key_1", {"revoked": True})
    assert run(app, api, "keys", "revoke", "key_1").exit_code == 0


@pytest.mark.parametrize(("status", "said"), [(401, "Wrong key. Give the key"), (404, "Wrong key."), (500, "Wrong")])
def test_an_error_of_the_api_is_one_line(app: typer.Typer, api: Api, status: int, said: str) -> None:
    api.on("GET /v1/batches/batch_1", {"error": {"message": "Wrong\nkey."}}, status=status)
    result = run(app, api, "watch", "batch_1")
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert said in result.stderr


def test_a_server_that_is_not_there_is_one_line(app: typer.Typer) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound and not listening: a connection is refused
        api = Api(url=f"http://127.0.0.1:{held.getsockname()[1]}")
        result = run(app, api, "cancel", "batch_1")
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert f"cannot reach Penstock at {api.url}" in result.stderr


def test_something_else_that_answers_is_not_taken_for_penstock(app: typer.Typer, api: Api) -> None:
    api.on("GET /v1/batches/batch_1", b"<html>hello</html>")
    assert "is not Penstock" in run(app, api, "watch", "batch_1").stderr


def test_an_id_cannot_lead_elsewhere(app: typer.Typer, api: Api) -> None:
    run(app, api, "watch", "../files/file-1")
    assert api.asked[0].path == "/v1/batches/..%2Ffiles%2Ffile-1"


def test_keys_come_from_the_environment(app: typer.Typer, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's key for the user's commands, the admin key for those about keys."""
    monkeypatch.setenv("PENSTOCK_API_KEY", "sk-user")
    monkeypatch.setenv("PENSTOCK_ADMIN_KEY", "sk-admin")
    run(app, api, "watch", "batch_1", key=None)
    run(app, api, "keys", "list", key=None)
    assert [asked.key for asked in api.asked] == ["sk-user", "sk-admin"]


def test_the_key_of_a_stack_started_here_is_found(app: typer.Typer, api: Api, tmp_path: Path) -> None:
    (tmp_path / ".penstock").mkdir()
    (tmp_path / ".penstock/admin_key").write_text("sk-local\n")
    run(app, api, "watch", "batch_1", key=None)
    assert api.asked[0].key == "sk-local"


def test_the_key_of_this_machine_goes_to_no_other(app: typer.Typer, tmp_path: Path) -> None:
    (tmp_path / ".penstock").mkdir()
    (tmp_path / ".penstock/admin_key").write_text("sk-local\n")
    result = run(app, Api(url="https://penstock.example"), "watch", "batch_1", key=None)
    assert "no API key" in result.stderr


LIVE = "GET /v1/batches/batch_1/results?follow=true&after="


def test_results_are_followed_through_a_restart_of_the_server(app: typer.Typer, api: Api, tmp_path: Path) -> None:
    """The connection ends early, the server is away for a moment, and no line is lost or written twice."""
    api.answers[LIVE + "0"] = [(200, b'{"number":1}\n\n{"number":2}\n')]
    api.answers[LIVE + "2"] = [(503, {}), (200, b'{"number":3}\n')]
    api.answers["GET /v1/batches/batch_1"] = [(200, batch("in_progress", 1)), (200, batch("completed", 2))]
    output = tmp_path / "live.jsonl"
    result = run(app, api, "results", "batch_1", "--follow", "-o", str(output))
    assert result.exit_code == 0, result.stderr
    assert output.read_text() == '{"number":1}\n{"number":2}\n{"number":3}\n'


def test_following_goes_on_after_a_number(app: typer.Typer, api: Api, tmp_path: Path) -> None:
    output = tmp_path / "live.jsonl"
    output.write_text('{"number":1}\n')
    api.on(LIVE + "1", b'{"number":2}\n')
    api.on("GET /v1/batches/batch_1", batch("cancelled", 1))
    assert run(app, api, "results", "batch_1", "--follow", "--after", "1", "-o", str(output)).exit_code == 0
    assert output.read_text() == '{"number":1}\n{"number":2}\n'
    assert run(app, api, "results", "batch_1", "--after", "1").exit_code == 1


def test_following_a_refused_batch_says_why(app: typer.Typer, api: Api) -> None:
    errors = {"data": [{"code": "empty_file", "line": None, "message": "The file holds no request.", "param": None}]}
    api.on(LIVE + "0", b"")
    api.on("GET /v1/batches/batch_1", batch("failed", errors=errors))
    result = run(app, api, "results", "batch_1", "--follow")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "holds no request" in result.stderr


def test_a_cost_that_is_not_known_is_called_unknown(app: typer.Typer, api: Api) -> None:
    api.on("GET /v1/batches/batch_1", batch("completed", 2, cost=None))
    result = run(app, api, "watch", "batch_1")
    assert result.exit_code == 0
    assert "cost unknown" in result.stderr
