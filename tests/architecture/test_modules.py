"""What every module of the product keeps to. Each rule is also shown a file that breaks it."""

import ast
import re

import pytest

MODULE_LINES = 400
FUNCTION_LINES = 60
FORBIDDEN_NAMES = re.compile(r"(^|_)(utils?|common|helpers?|managers?|misc)$")
BROAD = {"Exception", "BaseException"}
ENVIRONMENT = {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"}

Modules = dict[str, tuple[str, ast.Module]]


def long_functions(tree: ast.Module) -> list[str]:
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    sizes = [(node, (node.end_lineno or node.lineno) - node.lineno + 1) for node in functions]
    return [f"{node.lineno} {node.name}: {size} lines" for node, size in sizes if size > FUNCTION_LINES]


def swallowed_errors(tree: ast.Module) -> list[str]:
    """Handlers that catch everything and say nothing."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            broad = any(item is None or ast.unparse(item) in BROAD for item in caught)
            if broad and all(isinstance(line, ast.Pass | ast.Continue) for line in node.body):
                found.append(f"{node.lineno} except {'' if node.type is None else ast.unparse(node.type)}")
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "suppress":
            found += [f"{node.lineno} suppress({name})" for name in map(ast.unparse, node.args) if name in BROAD]
    return found


def environment_reads(tree: ast.Module) -> list[str]:
    """Uses of the process environment, directly or through an option's `envvar`."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
            names = [node.attr]
        elif isinstance(node, ast.ImportFrom) and node.module == "os":
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.keyword) and node.arg == "envvar":
            found.append(f"{node.lineno} envvar")
            continue
        else:
            continue
        found += [f"{node.lineno} os.{name}" for name in names if name in ENVIRONMENT]
    return found


def test_modules_are_short(modules: Modules) -> None:
    assert len(modules) > 20, "the rooms were not found"
    sizes = {path: text.count("\n") for path, (text, _) in modules.items()}
    assert {path: lines for path, lines in sizes.items() if lines > MODULE_LINES} == {}


def test_functions_are_short(modules: Modules) -> None:
    long = [f"{path}:{found}" for path, (_, tree) in modules.items() for found in long_functions(tree)]
    assert long == []


def test_file_names_say_what_is_inside(modules: Modules) -> None:
    vague = [path for path in modules for part in path.removesuffix(".py").split("/") if FORBIDDEN_NAMES.search(part)]
    assert vague == []


def test_no_error_is_swallowed(modules: Modules) -> None:
    swallowed = [f"{path}:{found}" for path, (_, tree) in modules.items() for found in swallowed_errors(tree)]
    assert swallowed == []


def test_only_settings_reads_the_environment(modules: Modules) -> None:
    """Also when a child's environment is built: what a role is told goes through one file."""
    assert environment_reads(modules["penstock/settings.py"][1])
    reads = [
        f"{path}:{found}"
        for path, (_, tree) in modules.items()
        if path != "penstock/settings.py"
        for found in environment_reads(tree)
    ]
    assert reads == []


@pytest.mark.parametrize(
    "source",
    [
        "try:\n    f()\nexcept Exception:\n    pass",
        "try:\n    f()\nexcept:\n    pass",
        "for x in y:\n    try:\n        f()\n    except (OSError, BaseException):\n        continue",
        "with contextlib.suppress(Exception):\n    f()",
    ],
)
def test_a_swallowed_error_is_noticed(source: str) -> None:
    assert swallowed_errors(ast.parse(source))


def test_a_named_error_may_be_passed_over() -> None:
    assert swallowed_errors(ast.parse("try:\n    f()\nexcept ProcessLookupError:\n    pass")) == []


@pytest.mark.parametrize(
    "source",
    [
        "os.environ['A']",
        "os.getenv('A')",
        "from os import environ",
        "run(command, env={**os.environ})",
        "typer.Option(envvar='A')",
    ],
)
def test_a_read_of_the_environment_is_noticed(source: str) -> None:
    assert environment_reads(ast.parse(source))


@pytest.mark.parametrize(("lines", "noticed"), [(60, False), (61, True)])
def test_a_long_function_is_noticed(lines: int, noticed: bool) -> None:
    assert bool(long_functions(ast.parse("def f():\n" + "    x = 1\n" * (lines - 1)))) is noticed


@pytest.mark.parametrize("name", ["utils", "job_helpers", "manager", "common", "misc"])
def test_a_vague_name_is_noticed(name: str) -> None:
    assert FORBIDDEN_NAMES.search(name)
