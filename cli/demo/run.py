"""`penstock demo`."""

import importlib.util
import signal
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console

from penstock.errors import ConfigError, PenstockError

#: rows asked of real providers when nobody says how many: some cents at most
_LIVE_ROWS = 20


def demo(
    rows: Annotated[int | None, typer.Option(min=2, max=600, help="Questions to ask (600; with --live 20).")] = None,
    live: Annotated[
        bool, typer.Option("--live", help="Ask the real providers whose OPENAI_API_KEY or ANTHROPIC_API_KEY is set.")
    ] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the data folder, with all logs.")] = False,
    data: Annotated[Path | None, typer.Option("--data", help="Data folder (default: a temporary one).")] = None,
    openai_model: Annotated[str, typer.Option(help="With --live: the model asked of OpenAI.")] = "gpt-4.1-nano",
    anthropic_model: Annotated[
        str, typer.Option(help="With --live: the model asked of Anthropic.")
    ] = "claude-haiku-4-5",
) -> None:
    """Run the whole of Penstock against two simulated providers: a batch, a stream that breaks, a signed callback."""
    console = Console()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        if importlib.util.find_spec("openai") is None:
            raise ConfigError("the demo speaks through the openai SDK: pip install 'penstock[demo]'")
        from cli.demo import plan, story

        providers = plan.live(openai_model, anthropic_model) if live else plan.SIMULATED
        count = rows or (_LIVE_ROWS if live else story.ALL_ROWS)
        story.tell(console, providers, count, data.expanduser().resolve() if data else None, keep=keep)
    except PenstockError as error:
        typer.echo(f"penstock demo: {error.message}", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        typer.echo("penstock demo: interrupted; everything is stopped", err=True)
        raise typer.Exit(130) from None


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
