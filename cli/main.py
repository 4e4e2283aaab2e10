"""The terminal door: `penstock …`."""

import typer

from cli import caches, calibrate, calibrate_route, keys, roles, routing, savings, up, user
from cli.demo.run import demo
from penstock.startup import run_role

app = typer.Typer(
    name="penstock",
    help="A self-hosted LLM gateway whose unit is a durable job.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.command()(up.up)
for role in (roles.api, roles.worker, roles.dispatcher, roles.flower, roles.migrate, roles.simulate):
    app.command()(role)
for command in (user.submit, user.watch, user.results, user.cancel, routing.route):
    app.command()(command)
app.add_typer(keys.app, name="keys")
app.command()(calibrate_route.calibrate)
app.command()(caches.invalidate_cache)
app.command()(savings.savings)
app.command()(calibrate.calibrate_cache)
app.command()(calibrate.cache_shadow)
app.command()(demo)


def main() -> None:
    """Run a command."""
    run_role(app)


if __name__ == "__main__":
    main()
