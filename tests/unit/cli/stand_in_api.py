"""A stand-in for a running Penstock: answers what a test tells it to and keeps what it was asked."""

import json
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Asked:
    method: str
    path: str
    key: str
    body: bytes


@dataclass
class Api:
    """`answers`: for `METHOD /path` the answers in turn, the last one for good; bytes go out as they are."""

    url: str = ""
    answers: dict[str, list[tuple[int, Any]]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    def on(self, route: str, *bodies: Any, status: int = 200) -> None:
        self.answers[route] = [(status, body) for body in bodies]

    def answer(self, asked: Asked) -> tuple[int, bytes]:
        self.asked.append(asked)
        left = self.answers.get(f"{asked.method} {asked.path}")
        if not left:
            return 404, json.dumps({"error": {"message": f"No route {asked.path}."}}).encode()
        status, body = left.pop(0) if len(left) > 1 else left[0]
        return status, body if isinstance(body, bytes) else json.dumps(body).encode()
