"""The Compose file: every role the command line has, every variable one that is read, nothing open to the network."""

import importlib
import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

ROLES = {"api", "dispatcher", "flower", "migrate", "worker"}


@pytest.fixture(scope="module")
def services(root: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((root / "infra/compose.yaml").read_text("utf-8"))["services"]
    return loaded


@pytest.fixture(scope="module")
def roles(services: dict[str, Any]) -> dict[str, Any]:
    return {name: service for name, service in services.items() if service["image"] == "penstock"}


def test_every_role_runs_once_each_lane_too(roles: dict[str, Any]) -> None:
    assert {service["command"][0] for service in roles.values()} == ROLES
    lanes = [service["command"][2] for service in roles.values() if service["command"][0] == "worker"]
    assert sorted(lanes) == ["bulk", "interactive"]


def test_roles_are_commands_of_the_command_line(roles: dict[str, Any]) -> None:
    if importlib.util.find_spec("cli.main") is None:
        pytest.skip("there is no command line yet")
    apps = [value for value in vars(importlib.import_module("cli.main")).values() if isinstance(value, typer.Typer)]
    commands = getattr(typer.main.get_command(apps[0]), "commands", {})
    for service in roles.values():
        name, *options = service["command"]
        known = {option for parameter in commands[name].params for option in parameter.opts}
        assert {option for option in options if option.startswith("--")} <= known, name


def test_roles_wait_for_the_schema(roles: dict[str, Any]) -> None:
    waiting = [name for name, service in roles.items() if "migrate" in service["depends_on"]]
    assert sorted([*waiting, "migrate"]) == sorted(roles)


def test_variables_of_ours_are_read_by_somebody(services: dict[str, Any], modules: dict[str, Any]) -> None:
    product = "\n".join(text for text, _ in modules.values())
    named = {name for service in services.values() for name in service.get("environment", {}) if "PENSTOCK" in name}
    assert {"PENSTOCK_DATABASE_URL", "PENSTOCK_REDIS_URL", "PENSTOCK_BROKER_URL"} <= named
    assert sorted(name for name in named if name not in product) == []


def test_every_variable_asked_for_is_in_the_example(root: Path) -> None:
    asked = set(re.findall(r"\$\{(\w+)", (root / "infra/compose.yaml").read_text("utf-8")))
    asked |= set(re.findall(r"\$\{([A-Z]\w+)\}", (root / "penstock.example.yaml").read_text("utf-8"))) - {"NAME"}
    given = set(re.findall(r"^(\w+)=", (root / "infra/.env.example").read_text("utf-8"), re.MULTILINE))
    assert asked - given == set()


def test_ports_are_open_to_this_host_only(services: dict[str, Any]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert len(ports) == 2
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_the_image_does_not_run_as_root(root: Path) -> None:
    stage = (root / "infra/Dockerfile").read_text("utf-8").split("\nFROM ")[-1]
    assert re.search(r"^USER (?!root)\w+$", stage, re.MULTILINE)
    assert "--require-hashes" in (root / "infra/Dockerfile").read_text("utf-8")
