"""`python -m workers`: a worker, the dispatcher or Flower as a process. `penstock` starts them."""

import argparse
import os
import sys

import uvloop

from penstock.broker import make_app
from penstock.embedded.watch import watch_supervisor
from penstock.startup import require_free_port, role_settings, run_role
from workers import leadership, process


def main() -> None:
    """Run one role until told to stop."""
    parser = argparse.ArgumentParser(prog="penstock")
    roles = parser.add_subparsers(dest="role", required=True)
    worker = roles.add_parser("worker")
    worker.add_argument("--lane", choices=("bulk", "interactive"), default="bulk")
    worker.add_argument("--name")
    roles.add_parser("dispatcher")
    flower = roles.add_parser("flower")
    flower.add_argument("--host", default="127.0.0.1")
    flower.add_argument("--port", type=int, default=5555)
    options = parser.parse_args()
    watch_supervisor()
    if options.role == "worker":
        name = options.name or f"{options.lane}-{os.getpid()}"
        sys.exit(process.run(role_settings(), options.lane, name))
    if options.role == "dispatcher":
        uvloop.run(leadership.serve(role_settings()))
        return
    settings = role_settings(check_schema=False)
    require_free_port(options.host, options.port, "--port")
    app = make_app(settings.broker_url, list(settings.config.providers))
    app.start(["flower", f"--address={options.host}", f"--port={options.port}", "--logging=warning"])


if __name__ == "__main__":
    run_role(main)
