"""The Lua scripts of this room. The files beside this one say what each takes and answers."""

from functools import cache
from importlib.resources import files

from redis.commands.core import AsyncScript

from penstock.redis import Redis


class Scripts:
    """The scripts, ready to be called on one Redis; each is sent by its hash and loaded when Redis lacks it."""

    def __init__(self, redis: Redis) -> None:
        self.reserve: AsyncScript = redis.register_script(source("reserve"))
        self.settle: AsyncScript = redis.register_script(source("settle"))
        self.renew: AsyncScript = redis.register_script(source("renew"))
        self.pause: AsyncScript = redis.register_script(source("pause"))
        self.seed: AsyncScript = redis.register_script(source("seed"))
        self.peek: AsyncScript = redis.register_script(source("peek"))


@cache
def source(name: str) -> str:
    """The text of one script, with what all of them know in front."""
    folder = files("penstock.limits")
    return "\n".join((folder / f"{part}.lua").read_text("utf-8") for part in ("state", name))
