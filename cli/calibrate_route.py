"""`penstock calibrate`: learns from your own evaluations when a route asks its strong model, and keeps the versions."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer
from rich.console import Console
from rich.table import Table

from cli.labelling import GRADERS, JUDGE, by_judge, by_rule
from cli.user import UrlOption, reached, until_ended
from penstock.configuration.routes import EMBEDDING
from penstock.errors import Conflict, InvalidRequest

if TYPE_CHECKING:
    from cli.client import PenstockClient
    from penstock.routing.evaluated import Plan
    from penstock.routing.lessons import Lesson

_EXTRA = "calibrating needs scikit-learn, which is not installed here: pip install 'penstock[calibrate]'"


@dataclass(frozen=True, slots=True)
class _Wishes:
    """What is to be learnt, and from what."""

    labels: list[str]
    gold: Path | None
    grader: str | None
    judge: str | None
    cheap: str | None
    strong: str | None
    target: float
    margin: float


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What is to become of what was learnt."""

    dry_run: bool
    force: bool
    note: str
    out: Path | None
    drawing: Path | None


def calibrate(  # noqa: PLR0913, PLR0917 - the options of the command
    route: Annotated[str, typer.Argument(help="A route of the configuration.")],
    version: Annotated[str | None, typer.Argument(help="With --rollback: a version, or `none`.")] = None,
    labels: Annotated[
        list[str], typer.Option("--labels", help="A batch that has ended, or a file of labels; several may be given.")
    ] = [],  # noqa: B006 - typer copies it
    gold: Annotated[Path | None, typer.Option(help="JSONL with `custom_id` and `gold`, the right answer.")] = None,
    grader: Annotated[str | None, typer.Option(help=f"How answers are graded: {', '.join(GRADERS)}.")] = None,
    judge: Annotated[str | None, typer.Option(help="The model that grades, with --grader judge.")] = None,
    cheap: Annotated[str | None, typer.Option(help="The cheap model (default: the route's first step).")] = None,
    strong: Annotated[str | None, typer.Option(help="The strong model (default: the route's last step).")] = None,
    target: Annotated[float, typer.Option(min=0.5, max=1.0, help="The share of the strong quality to keep.")] = 0.99,
    margin: Annotated[float, typer.Option(min=0.0, max=0.2, help="Aimed at above the target.")] = 0.005,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Report, and store nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Activate it even where it saves nothing.")] = False,
    note: Annotated[str, typer.Option(help="Kept with the version.")] = "",
    out: Annotated[Path | None, typer.Option(help="Write the learnt policy here too (JSON).")] = None,
    drawing: Annotated[Path | None, typer.Option(help="Write the cost-quality curve here (SVG).")] = None,
    list_them: Annotated[bool, typer.Option("--list", help="Show the versions.")] = False,
    rollback: Annotated[
        bool, typer.Option("--rollback", help="Go back to the version before, or to the one that is named.")
    ] = False,
    status: Annotated[bool, typer.Option("--status", help="Show whether what was learnt still holds.")] = False,
    url: UrlOption = None,
    key: Annotated[
        str | None, typer.Option("--key", help="API key of the batches' tenant (default: PENSTOCK_API_KEY).")
    ] = None,
    admin_key: Annotated[
        str | None, typer.Option("--admin-key", help="Admin key (default: PENSTOCK_ADMIN_KEY).")
    ] = None,
) -> None:
    """Learn from labelled work when the strong model of a route is asked, or show, check and undo what was learnt."""
    with reached(url, admin_key, admin=True) as admin:
        path = f"/admin/routes/{quote(route, safe='')}"
        if sum((list_them, rollback, status, bool(labels))) != 1:
            raise InvalidRequest("give one of --labels, --list, --rollback and --status")
        if list_them:
            _list(admin, path)
        elif rollback:
            _roll_back(admin, path, version)
        elif status:
            _status(admin, path)
        else:
            wishes = _Wishes(labels, gold, grader, judge, cheap, strong, target, margin)
            outcome = _Outcome(dry_run, force, note or f"from {', '.join(labels)}", out, drawing)
            with reached(url, key) as user:
                lesson = _learn(admin.get(path), user, wishes)
            _keep(admin, path, route, lesson, outcome)


def _learn(route: dict[str, Any], user: "PenstockClient", wishes: _Wishes) -> "Lesson":
    # Only this command needs the extra (`penstock[calibrate]`).
    from cli import evaluations

    try:
        from penstock.routing.calibration import Goal
        from penstock.routing.lessons import learn
    except ImportError as error:
        raise InvalidRequest(_EXTRA) from error
    plan = _plan(route, wishes)
    models = [name for name in (plan.cheap, plan.strong, plan.beside) if name is not None]
    questions = evaluations.Questions()
    console = Console(stderr=True)
    for source in sorted(wishes.labels, key=lambda name: not name.startswith("batch_")):
        # batches first: a file of labels is then joined to what they asked
        if source.startswith("batch_"):
            count = evaluations.add_batch(questions, user, source)
        else:
            count = evaluations.add_labels(questions, Path(source))
        console.print(f"{source}: {count} lines", markup=False, highlight=False)
    for model, count in evaluations.with_mean_costs(questions.rows, models).items():
        console.print(f"{count} answers of {model} have no cost of their own: its mean is taken", highlight=False)
    gold = evaluations.gold_of(wishes.gold) if wishes.gold is not None else {}
    if wishes.grader == JUDGE:
        assert wishes.judge is not None  # the plan was checked
        by_judge(questions.rows, models, gold, wishes.judge, user, lambda batch_id: until_ended(user, batch_id))
    elif wishes.grader is not None:
        by_rule(questions.rows, models, gold, wishes.grader)
    return learn(questions.rows, plan, Goal(target=wishes.target, margin=wishes.margin))


def _plan(route: dict[str, Any], wishes: _Wishes) -> "Plan":
    """What is to be learnt for a route as it is configured.

    Raises:
        InvalidRequest: an option does not fit it; the message names the option.
    """
    from penstock.routing.evaluated import Plan

    steps: list[str] = route["steps"]
    cheap, strong = wishes.cheap or steps[0], wishes.strong or steps[-1]
    for option, model in (("--cheap", cheap), ("--strong", strong)):
        if model not in steps:
            raise InvalidRequest(f"{option}: the route has no step `{model}` (its steps: {', '.join(steps)})")
    if cheap == strong:
        raise InvalidRequest("the route has one model only: there is nothing to choose")
    if wishes.grader is not None and wishes.grader not in GRADERS:
        raise InvalidRequest(f"--grader: one of {', '.join(GRADERS)}")
    if wishes.grader == JUDGE and wishes.judge is None:
        raise InvalidRequest("--grader judge needs --judge MODEL")
    if wishes.grader not in {None, JUDGE} and wishes.gold is None:
        raise InvalidRequest(f"--grader {wishes.grader} needs --gold FILE")
    agreement = route["accept"]["agreement"] if route["accept"]["agreement"] != EMBEDDING else None
    if route["strategy"] == "escalation" and not route["accept"]["verifier"]:
        typer.echo("the route does not ask its verifier: set `accept: {verifier: true}`", err=True)
    rule = wishes.grader if wishes.grader not in {None, JUDGE} else agreement
    beside = steps[1] if agreement is not None and len(steps) > 2 and steps[1] != strong else None
    kind = "verifier" if route["strategy"] == "escalation" else "content"
    return Plan(kind, cheap, strong, rule, beside)  # type: ignore[arg-type]  # one of the two words


def _keep(admin: "PenstockClient", path: str, route: str, lesson: "Lesson", outcome: _Outcome) -> None:
    from cli.calibration_report import draw, show

    show(lesson, Console())
    document = lesson.policy.to_json()
    if outcome.drawing is not None:
        draw(lesson, outcome.drawing, f"{route}: {lesson.policy.cheap} or {lesson.policy.strong}")
        typer.echo(f"curve: {outcome.drawing}")
    if outcome.out is not None:
        outcome.out.write_text(json.dumps(document), "utf-8")
        typer.echo(f"learnt policy: {outcome.out}")
    if outcome.dry_run:
        typer.echo("nothing was stored (--dry-run)")
        return
    activate = lesson.saves or outcome.force
    body = {"document": document, "note": outcome.note[:1000], "activate": activate}
    version = admin.post(f"{path}/artefacts", body)["version"]
    if activate:
        typer.echo(f"version {version} of {route} is active: it is in use within seconds")
    else:
        typer.echo(f"version {version} of {route} is kept, not active: it saves nothing (--force activates it)")


def _list(admin: "PenstockClient", path: str) -> None:
    table = Table()
    for heading in ("version", "active", "made", "by", "quality kept", "cost", "verdict", "note"):
        table.add_column(heading, overflow="fold")
    for row in admin.get(f"{path}/artefacts")["data"]:
        report = row["report"]
        at = report.get("at_threshold", {})
        table.add_row(
            str(row["version"]),
            "yes" if row["active"] else "",
            f"{datetime.fromtimestamp(row['created_at'], UTC):%Y-%m-%d %H:%M}",
            row["made_by"],
            f"{at['quality']:.1%}" if "quality" in at else "",
            f"{at['cost']:.1%}" if "cost" in at else "",
            report.get("verdict", ""),
            row["note"],
        )
    Console().print(table)


def _roll_back(admin: "PenstockClient", path: str, version: str | None) -> None:
    if version == "none":
        admin.delete(f"{path}/artefacts/active")
        typer.echo("no version is active")
        return
    if version is None:
        rows = admin.get(f"{path}/artefacts")["data"]
        active = next((row["version"] for row in rows if row["active"]), None)
        before = next((row["version"] for row in rows if active is not None and row["version"] < active), None)
        if before is None:
            raise Conflict("there is no version before the active one: name one, or `none`")
        version = str(before)
    found = admin.post(f"{path}/artefacts/{quote(version, safe='')}/activate")
    typer.echo(f"version {found['version']} of {found['route']} is active: it is in use within seconds")


def _status(admin: "PenstockClient", path: str) -> None:
    found = admin.get(f"{path}/status")
    typer.echo(f"{found['state']}: {'; '.join(found['reasons'])}")
    table = Table(title=f"last {found['hours']} hours, version {found['artefact'] or 'none'}")
    for heading in ("", "now", "of", "at calibration"):
        table.add_column(heading)
    for name in ("escalation", "agreement", "shadow", "strange"):
        rate = found[name]
        table.add_row(name, _share(rate["value"]), f"{rate['of']:.0f}", _share(rate["at_calibration"]))
    table.add_row("score shift", "" if found["score_shift"] is None else f"{found['score_shift']:.2f}", "", "0")
    Console().print(table)
    taken = found["shadow_samples"]
    typer.echo(f"{taken['asked']} shadow samples, {taken['compared']} compared, ${taken['cost']:.6f}")


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"
