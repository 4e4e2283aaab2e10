"""Looks the pinned requirements up in the advisory databases; called by `make audit` with pip-audit's own Python.

pip-audit ends with "No known vulnerabilities found" and status 0 also where no database knew one of the versions, as on
a mirror that has packages and no advisories. So what was really looked up is counted here. A database that cannot be
asked is said plainly and fails nothing, or nobody could work without the network; a known vulnerability fails.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

SERVICES = ("pypi", "osv")
_SECONDS = 300


def main() -> int:
    """Ask the services in turn until one has answered for something."""
    for service in SERVICES:
        found, reason = asked(service, sys.argv[1:])
        looked_up = [row for row in found if "skip_reason" not in row]
        if looked_up:
            return report(service, found, looked_up)
        say(f"audit: {service} was of no use: {reason}")
    say("audit: NOT AUDITED: no advisory database could be asked from here; nothing is known, good or bad")
    return 0


def asked(service: str, files: list[str]) -> tuple[list[dict[str, Any]], str]:
    """What a service says of every requirement, and why it says nothing where it does not."""
    command = [
        sys.executable,
        "-m",
        "pip_audit",
        "--vulnerability-service",
        service,
        "--require-hashes",
        "--disable-pip",
    ]
    command += ["--format", "json", "--progress-spinner", "off", *(word for file in files for word in ("-r", file))]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
        found: list[dict[str, Any]] = json.loads(ended.stdout)["dependencies"]
    except subprocess.TimeoutExpired:
        return [], f"no answer in {_SECONDS} s"
    except (ValueError, KeyError):
        return [], (ended.stderr.strip().splitlines() or ["it said nothing"])[-1][:200]
    skipped = [row["skip_reason"] for row in found if "skip_reason" in row]
    return found, f"it knows none of {len(skipped)} versions ({skipped[0]})" if skipped else "there are no requirements"


def report(service: str, found: list[dict[str, Any]], looked_up: list[dict[str, Any]]) -> int:
    """Tell what is known; 1 if something is."""
    known = list(advisories(looked_up))
    for line in known:
        say(f"audit: {line}")
    say(f"audit: {len(looked_up)} of {len(found)} requirements looked up in {service}, {len(known)} advisories")
    return 1 if known else 0


def advisories(rows: list[dict[str, Any]]) -> Iterator[str]:
    """One line for each known vulnerability."""
    for row in rows:
        for one in row["vulns"]:
            fixed = ", ".join(one["fix_versions"]) or "no version yet"
            yield f"{row['name']} {row['version']}: {one['id']}, fixed in {fixed}"


def say(line: str) -> None:
    """To standard output, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
