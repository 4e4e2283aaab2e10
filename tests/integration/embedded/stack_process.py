"""A stack in a process of its own, to be killed: prints its addresses, then runs until it is stopped."""

import asyncio
import sys
from pathlib import Path

from penstock.embedded.stack import EmbeddedStack
from penstock.embedded.supervisor import Supervisor


async def _run(data: Path) -> int:
    with EmbeddedStack(data) as stack:
        async with Supervisor(data) as supervisor:
            urls = await stack.start(supervisor)
            sys.stdout.write(urls.database + "\n")
            sys.stdout.flush()
            return await supervisor.run_until_stopped()


if __name__ == "__main__":
    sys.exit(asyncio.run(_run(Path(sys.argv[1]))))
