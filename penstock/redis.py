"""The one way to Redis: a client with a sized pool and timeouts."""

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

#: everything Penstock keeps in Redis begins with this
PREFIX = "penstock:"

__all__ = ["PREFIX", "Redis", "RedisConnectionError", "RedisError", "RedisTimeoutError", "connect"]


def connect(url: str, *, size: int = 20, timeout: float | None = 5.0) -> Redis:
    """A client that makes its connections when they are needed; values are bytes.

    redis-py raises once a pool is used up, so `size` bounds what may be asked at once. `timeout` is in seconds; None
    leaves it to the caller to bound what it waits for, and saves redis-py a task for every command.
    """
    client: Redis = Redis.from_url(
        url,
        max_connections=size,
        socket_timeout=timeout,
        socket_connect_timeout=min(timeout or 2.0, 2.0),
        health_check_interval=30,
    )
    return client
