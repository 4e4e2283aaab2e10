"""`python -m api`: the HTTP door as a process. `penstock api` and `penstock up` start it."""

import argparse

import uvicorn

from api.app import create_app
from api.connections import connection_class
from api.leaving import LeavingServer
from penstock.embedded.watch import watch_supervisor
from penstock.startup import require_free_port, role_settings, run_role

#: seconds open requests get when the process stops
GRACE_SECONDS = 10


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(prog="penstock api")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    watch_supervisor()
    settings = role_settings()
    require_free_port(options.host, options.port, "--port")
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        host=options.host,
        port=options.port,
        loop="uvloop",
        http=connection_class(settings.config.http),
        ws="none",
        access_log=False,
        log_config=None,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    LeavingServer(config, app, settings.config.http.leaving_seconds).run()


if __name__ == "__main__":
    run_role(main)
