"""What the repository may not contain: where packages come from, and paths of somebody's machine."""

import re
import tomllib
from pathlib import Path

import pytest

# In pieces, so that this file does not name what it forbids.
REGISTRIES = "|".join(name + r"\.(?:org|com)" for name in ("pypi", "pythonhosted", "npmjs"))
OPTIONS = "|".join(("--find" + "-links", "index" + "-url"))
ADDRESS = re.compile(rf"{REGISTRIES}|{OPTIONS}|https?://\S+\.(?:whl|tar\.gz|tgz|deb)\b|file:///?\w")
MACHINE_PATH = re.compile(r"(?<![\w.$}])/(?:tmp|home|root|work)/[\w.]+")
PINNED = re.compile(r"[a-z0-9.-]+==[\w.!+]+( ; [^\\]+)? \\")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?")
#: an option of the command that makes the lock: it says that no address may be written
ALLOWED = "--no-emit-index" + "-url"


def test_no_address_of_a_package_registry(text_files: dict[str, str]) -> None:
    """An installation takes packages from where its owner says, never from where a lock was made."""
    assert _lines(text_files, ADDRESS) == []


def test_no_path_of_a_machine(text_files: dict[str, str]) -> None:
    assert _lines(text_files, MACHINE_PATH) == []


@pytest.mark.parametrize("name", ["run.txt", "dev.txt"])
def test_a_lock_holds_pins_and_hashes_only(root: Path, name: str) -> None:
    lines = (root / "requirements" / name).read_text("utf-8").splitlines()
    assert len(lines) > 100
    assert [line for line in lines if not PINNED.fullmatch(line) and not HASH.fullmatch(line)] == []


def test_the_locks_hold_what_the_project_asks_for(root: Path) -> None:
    """A dependency added to pyproject.toml without `make lock` would be missing on every other machine."""
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    run, dev = _pins(root / "requirements/run.txt"), _pins(root / "requirements/dev.txt")
    wanted = project["dependencies"] + project["optional-dependencies"]["demo"]
    assert [need for need in wanted if _name(need) not in run] == []
    assert [need for need in project["optional-dependencies"]["dev"] if _name(need) not in dev] == []
    assert {name: (pin, dev.get(name)) for name, pin in run.items() if dev.get(name) != pin} == {}


@pytest.mark.parametrize(
    "line",
    [
        "https://files." + "pythonhosted" + ".org/packages/x",
        "--extra-index" + "-url x",
        "x @ file:" + "///wheels/x.whl",
        "https://example.com/x-1.0" + ".whl",
    ],
)
def test_an_address_is_noticed(line: str) -> None:
    assert ADDRESS.search(line)


@pytest.mark.parametrize(("line", "noticed"), [("open('/" + "tmp/x')", True), ("a/tmp/x", False), ("/tmp", False)])
def test_a_machine_path_is_noticed(line: str, noticed: bool) -> None:
    assert bool(MACHINE_PATH.search(line)) is noticed


def _lines(files: dict[str, str], pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{name}:{number} {line.strip()[:160]}"
        for name, text in files.items()
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line.replace(ALLOWED, ""))
    ]


def _name(requirement: str) -> str:
    return re.split(r"[\[<>=!~; ]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def _pins(path: Path) -> dict[str, str]:
    lines = path.read_text("utf-8").splitlines()
    return dict(line.split(" ")[0].split("==") for line in lines if PINNED.fullmatch(line))
