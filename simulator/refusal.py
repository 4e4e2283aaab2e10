"""A call that is answered with an error."""

from simulator.limits import LimitHit


class RefusalError(Exception):
    """Raised to answer with an HTTP error; each vendor renders it in its own envelope."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        limit: LimitHit | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.limit = limit
