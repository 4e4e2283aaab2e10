"""`penstock route` and `submit --dry-run`: what they ask of the API, what they print, and how they fail."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from click.testing import Result
from stand_in_api import Api
from typer.testing import CliRunner

from cli import rehearsal, routing, user


@pytest.fixture
def app() -> typer.Typer:
    made = typer.Typer()
    for command in (routing.route, user.submit):
        made.command()(command)
    return made


def run(app: typer.Typer, api: Api, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--url", api.url, "--key", "sk-1"])


def told(**more: Any) -> dict[str, Any]:
    decision = {"route": "auto", "policy": "cost", "reason": "a is cheapest", "order": ["a", "b"]}
    return {
        "model": "auto",
        "deployment": "a",
        "error": None,
        "order": ["a", "b"],
        "input_tokens": 3,
        "output_tokens": 256,
        "cost": 0.25,
        "costs": {"a": 0.25, "b": 1},
        "routing": {**decision, "excluded": {"c": "it cannot use tools"}},
        "stages": None,
        "shares": None,
        **more,
    }


REFUSED = {"model": "auto", "deployment": None, "error": {"message": "No model may serve it."}}


def answers(*rows: dict[str, Any]) -> dict[str, Any]:
    return {"object": "list", "data": list(rows)}


def lines(tmp_path: Path, *bodies: Any) -> Path:
    file = tmp_path / "in.jsonl"
    file.write_text("".join(json.dumps({"custom_id": f"l{n}", "body": body}) + "\n\n" for n, body in enumerate(bodies)))
    return file


def test_a_prompt_asks_for_auto_unless_a_route_is_named(app: typer.Typer, api: Api) -> None:
    api.on("POST /v1/jobs/route", answers(told()))
    result = run(app, api, "route", "What is it?")
    assert (result.exit_code, result.stdout) == (0, "What is it?\ta > b\n")
    run(app, api, "route", "What is it?", "--model", "smart")
    assert [json.loads(asked.body) for asked in api.asked] == [
        {"model": "auto", "input": "What is it?"},
        {"model": "smart", "input": "What is it?"},
    ]


def test_each_line_of_a_file_is_explained_page_by_page(
    app: typer.Typer, api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rehearsal, "_PAGE", 2)
    file = lines(tmp_path, {"model": "auto"}, {"model": "auto"}, {"model": "auto"})
    api.on("POST /v1/jobs/route", answers(told(), REFUSED), answers(told(routing=None, cost=None)))
    result = run(app, api, "route", str(file), "--explain", "--model", "best", "--endpoint", "/v1/responses")
    assert result.exit_code == 0
    for expected in ("l0", "a is cheapest", "c: it cannot use tools", "0.250000", "No model may serve it.", "unknown"):
        assert expected in result.stdout
    first, second = (json.loads(asked.body) for asked in api.asked)
    assert first == {"endpoint": "/v1/responses", "requests": [{"model": "best"}] * 2}
    assert len(second["requests"]) == 1


def test_what_looks_like_markup_is_shown_as_it_is(app: typer.Typer, api: Api) -> None:
    api.on("POST /v1/jobs/route", answers(told(model="[/red]")))
    result = run(app, api, "route", "[/b] or [bold]?", "--explain")
    assert result.exit_code == 0
    assert "[/b] or [bold]?" in result.stdout
    assert "[/red]" in result.stdout


def test_a_dry_run_submits_nothing_and_says_what_is_not_known(app: typer.Typer, api: Api, tmp_path: Path) -> None:
    file = lines(tmp_path, *[{"model": "auto"}] * 4)
    escalating = told(stages=[["a"], ["b"]], model="smart")
    unpriced = told(deployment="c", costs={"c": None})
    api.on("POST /v1/jobs/route", answers(told(), escalating, unpriced, REFUSED))
    result = run(app, api, "submit", str(file), "--dry-run")
    assert result.exit_code == 0
    assert [asked.path for asked in api.asked] == ["/v1/jobs/route"]
    for expected in (
        "4 requests, expected to cost $0.5000 to $1.5000 in all",
        "1 of them at c, whose price is unknown",
        "smart asks further models while an answer is not trusted; it has no history",
        "1 would be refused: No model may serve it.",
        "nothing was submitted",
    ):
        assert expected in result.stdout


@pytest.mark.parametrize("text", ["{", "[]", '{"custom_id": "a"}', '{"custom_id": "a", "body": 3}'])
def test_a_line_that_is_none_is_named(app: typer.Typer, api: Api, tmp_path: Path, text: str) -> None:
    file = tmp_path / "in.jsonl"
    file.write_text(f"{text}\n")
    result = run(app, api, "submit", str(file), "--dry-run")
    assert result.exit_code == 1
    assert "line 1" in result.stderr


def test_what_the_api_refuses_ends_the_command(app: typer.Typer, api: Api) -> None:
    api.on("POST /v1/jobs/route", {"error": {"message": "There is no `auto`."}}, status=404)
    result = run(app, api, "route", "x" * 5000)
    assert (result.exit_code, "There is no `auto`." in result.stderr) == (1, True)
