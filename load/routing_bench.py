"""How much routing saves, on recorded answers of real models.

    python -m load.routing_bench [--data FOLDER] [--pairs "task:cheap:strong ..."] [--learnt 1] [--target 0.99]
                                 [--seed 0] [--engine 100] [--write]

Every learned figure is of questions the policy was not calibrated on (`load.routing_measure`). A sample of them, and of
the pairs that need nothing learnt, runs through a real Penstock too (`load.routing_engine`). Prints tables and writes
them as JSON; `--write` draws the curves into docs/ too. Ends with 1 where the engine decided or paid otherwise than
computed.
"""

import argparse
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from load import recorded, report, routing_pairs, routing_report
from load.engine import BenchFailed
from load.recorded import NoData, Task
from load.routing_engine import Replay, replay
from load.routing_measure import Measured, agreement, learned, other_domain, signal
from load.routing_pairs import Pair
from load.routing_routes import routes_of
from penstock.routing.calibration import FEWEST, Goal

ROOT = Path(__file__).resolve().parent.parent
#: recorded beside the repository, not in it: the files are others' work under their own licences
DATA = ROOT.parent / "shared" / "data"


def plan(tasks: dict[str, Task], pairs: list[Pair] | None, most: int, goal: Goal) -> Iterator[tuple[Any, ...]]:
    """What is measured, as calls: (function, arguments). Without `pairs` those of each task that are sensible.

    Of these, policies are learnt for the `most` that are most worth it.
    """
    plain: list[tuple[Task, Pair]] = []
    for task in tasks.values():
        mine = [pair for pair in pairs if pair.task == task.name] if pairs is not None else _default(task, most)
        for pair in mine:
            if len(pair.cheap) == 2:
                yield agreement, task, pair, goal
                continue
            if len(task.ids) < 2 * FEWEST:
                continue
            plain.append((task, pair))
            yield learned, task, pair, goal
            model = task.models[pair.cheap[0]]
            if model.has_text:
                yield learned, task, pair, replace(goal, sees_answer=True)
            for name in sorted({name for given in model.signals for name, value in given.items() if value is not None}):
                yield signal, task, pair, name, goal
    for source, known in plain:
        for task, pair in plain:
            if source is not task and known.cheap == pair.cheap and known.strong == pair.strong:
                yield other_domain, source, task, pair, goal


def run(calls: list[tuple[Any, ...]], processes: int) -> list[Measured]:
    """Make the calls, some at a time, and tell of each as it ends."""
    found = []
    # threads of the linear algebra that wait for each other cost more than they save on vectors of this size
    with ProcessPoolExecutor(processes, initializer=threadpool_limits, initargs=(1,)) as pool:
        waiting = [pool.submit(*call) for call in calls]
        for number, answer in enumerate(waiting, 1):
            found.append(answer.result())
            print(f"{number}/{len(waiting)} {found[-1].pair} {found[-1].policy}", file=sys.stderr, flush=True)
    return found


def main() -> int:
    """Run the bench; 2 when there is nothing to measure."""
    options = _options()
    goal = Goal(target=options.target, margin=options.margin, seed=options.seed)
    try:
        tasks = recorded.load(options.data)
        pairs = routing_pairs.named(options.pairs, tasks) if options.pairs.strip() else None
    except NoData as error:
        print(error, file=sys.stderr)
        return 2
    calls = list(plan(tasks, pairs, options.learnt, goal))
    if not calls:
        print(f"{options.data}: no pair of models to measure", file=sys.stderr)
        return 2
    found = run(calls, options.processes)
    routing_report.show(found, goal)
    replays = _replayed(tasks, calls, found, options)
    routing_report.show_replays(replays)
    rows = [*map(routing_report.row, found), *map(routing_report.replay_row, replays)]
    print("wrote", report.write("routing", rows))
    if options.write:
        for path in routing_report.draw(found, ROOT / "docs" / "routing"):
            print("wrote", path)
    return 1 if any(one.differences for one in replays) else 0


def _replayed(
    tasks: dict[str, Task], calls: list[tuple[Any, ...]], found: list[Measured], options: argparse.Namespace
) -> list[Replay]:
    """The pairs that were measured, through the engine."""
    if not options.engine:
        return []
    plain = dict.fromkeys(call[2] for call in calls if call[0] in {agreement, signal})
    learnt = [one.held_out for one in found if one.held_out is not None]
    routes = routes_of(tasks, plain, learnt, options.engine, options.seed)
    try:
        return replay(routes) if routes else []
    except BenchFailed as error:
        raise SystemExit(f"the engine's part of the bench failed: {error}") from error


def _default(task: Task, most: int) -> list[Pair]:
    return [*routing_pairs.sensible(task, most), *routing_pairs.agreeing(task)]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder of recorded answers")
    parser.add_argument("--pairs", default="", help="task:cheap:strong, or task:first+second:strong; several by spaces")
    parser.add_argument(
        "--learnt",
        type=int,
        default=1,
        help="pairs of a task that policies are learnt for, unless --pairs names them",
    )
    parser.add_argument("--target", type=float, default=0.99, help="share of the strong model's quality to keep")
    parser.add_argument("--margin", type=float, default=Goal().margin, help="aimed at above the target in validation")
    parser.add_argument("--seed", type=int, default=0, help="parts the questions otherwise")
    parser.add_argument("--engine", type=int, default=100, help="questions a policy run through Penstock; 0 for none")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--write", action="store_true", help="draw the curves into docs/routing/")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
