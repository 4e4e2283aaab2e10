"""Configuration: the file `penstock.yaml` and the environment. Nothing else in the project reads the environment.

`${NAME}` anywhere in the file is replaced by the environment variable; a missing one is an error that names its key.
"""

import difflib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import SecretStr, ValidationError

from penstock import catalogue
from penstock.configuration import Config
from penstock.errors import ConfigError

DEFAULT_CONFIG = "penstock.yaml"
DEFAULT_DATA = ".penstock"
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a role needs to start: the file's configuration and the addresses of the servers."""

    config: Config
    database_url: str
    redis_url: str
    broker_url: str
    admin_key: SecretStr | None = None
    #: what tenants' webhook secrets are derived from: the first makes new ones, the others are older
    secret_keys: tuple[SecretStr, ...] = ()
    public_url: str | None = None

    def secrets(self) -> Iterator[str]:
        """Everything that must not be told. Passwords of addresses are known by their form (`penstock.redaction`)."""
        yield from self.config.secrets()
        kept = (self.admin_key, *self.secret_keys)
        yield from (secret.get_secret_value() for secret in kept if secret is not None)


def load_config(path: Path) -> Config:
    """Read and validate a configuration file.

    Raises:
        ConfigError: the file is missing, not YAML, or wrong; the message names file and key.
    """
    try:
        raw = yaml.safe_load(path.read_text("utf-8")) or {}
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: no such configuration file. Give one with --config or PENSTOCK_CONFIG; "
            "penstock.example.yaml is a start."
        ) from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: cannot be read as YAML: {_place(error)}") from None
    except (UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    return parse_config(raw, str(path))


def parse_config(raw: Any, source: str) -> Config:
    """Validate a configuration that was already read.

    Raises:
        ConfigError: see `load_config`.
    """
    if not isinstance(raw, dict):
        raise ConfigError(f"{source}: the top level must be a mapping of sections such as `providers` and `models`")
    wrong: list[str] = []
    expanded = _expand(raw, "", wrong)
    if isinstance(expanded.get("providers"), dict):
        rows = expanded["providers"].items()
        expanded["providers"] = {name: _with_vendor(row, f"providers.{name}", wrong) for name, row in rows}
    if wrong:
        raise ConfigError(f"{source}: " + "; ".join(wrong))
    try:
        return Config.model_validate(expanded)
    except ValidationError as error:
        raise ConfigError(f"{source}: " + "; ".join(_explain(problem) for problem in error.errors())) from None


def _place(error: yaml.YAMLError) -> str:
    """What is wrong and where. The error's own text quotes the lines around it, and with them the keys they hold."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return type(error).__name__
    mark = error.problem_mark
    return f"{error.problem} at line {mark.line + 1}, column {mark.column + 1}"


def config_path(option: Path | None) -> Path:
    """The configuration file: the option, else `PENSTOCK_CONFIG`, else `penstock.yaml` here."""
    return option or Path(os.environ.get("PENSTOCK_CONFIG", DEFAULT_CONFIG))


def environment(name: str) -> str | None:
    """One `PENSTOCK_…` variable; empty counts as unset."""
    return os.environ.get(name) or None


def child_environment(changes: dict[str, str]) -> dict[str, str]:
    """The environment a role process is started with: this one, changed."""
    return {**os.environ, **changes}


def _expand(value: Any, where: str, missing: list[str]) -> Any:
    if isinstance(value, dict):
        return {key: _expand(item, f"{where}.{key}" if where else str(key), missing) for key, item in value.items()}
    if isinstance(value, list):
        return [_expand(item, f"{where}[{index}]", missing) for index, item in enumerate(value)]
    if not isinstance(value, str):
        return value

    def variable(match: re.Match[str]) -> str:
        found = os.environ.get(match[1])
        if not found:
            missing.append(f"{where}: the environment variable {match[1]} is not set")
        return found or ""

    return _VARIABLE.sub(variable, value)


def _with_vendor(row: Any, where: str, wrong: list[str]) -> Any:
    """A provider's row with what its vendor's has and it leaves out, the key included."""
    if not isinstance(row, dict) or "vendor" not in row:
        return row
    vendor = catalogue.VENDORS.get(row["vendor"])
    if vendor is None:
        near = difflib.get_close_matches(str(row["vendor"]), catalogue.VENDORS, n=1)
        hint = f" (did you mean `{near[0]}`?)" if near else ""
        wrong.append(f"{where}.vendor: there is no vendor `{row['vendor']}` in the catalogue{hint}")
        return row
    merged = {"wire_format": vendor.wire_format, "base_url": vendor.base_url, "quirks": vendor.quirks} | row
    if vendor.key_variable is not None and "api_key" not in row:
        key = os.environ.get(vendor.key_variable)
        if not key:
            wrong.append(
                f"{where}.api_key: is not given, and the environment variable {vendor.key_variable} is not set"
            )
        merged["api_key"] = key
    return merged


def _explain(problem: Any) -> str:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in problem["loc"]).lstrip(".")
    if problem["type"] == "extra_forbidden":
        return f"{path}: there is no such key here (misspelt?)"
    if problem["type"] == "missing":
        return f"{path}: is required"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{path}: {message}" if path else str(message)
