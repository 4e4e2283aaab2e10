"""The HTTP server around one simulated provider."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import orjson
import uvloop
from aiohttp import web

from simulator import control
from simulator.anthropic_wire import AnthropicWire
from simulator.azure_openai_wire import AzureOpenAIWire
from simulator.bedrock_wire import BedrockWire
from simulator.calls import CallHandler, Provider, head_of
from simulator.cohere_wire import CohereWire
from simulator.gemini_wire import GeminiWire
from simulator.ollama_wire import OllamaWire
from simulator.openai_wire import OpenAIWire
from simulator.options import SimulatorOptions, WireFormat
from simulator.refusal import RefusalError
from simulator.vendor import SAMPLE_MODELS, Vendor

_VENDORS: dict[WireFormat, Callable[[], Vendor]] = {
    "openai": OpenAIWire,
    "azure-openai": AzureOpenAIWire,
    "anthropic": AnthropicWire,
    "cohere": CohereWire,
    "ollama": OllamaWire,
    "gemini": GeminiWire,
    "bedrock": BedrockWire,
}
#: where a vendor lists its models, if not at `/v1/models`
_MODELS_PATHS: dict[WireFormat, str] = {
    "gemini": "/{version:v1(?:alpha|beta)?}/models",
    "bedrock": "/foundation-models",
}
_LARGEST_BODY = 64 * 1024 * 1024
#: idle connections are the client's to close: a server that closes them first races with the next request
_KEEPALIVE_SECONDS = 3600.0
_BACKLOG = 4096
#: calls in flight at the end are waited for this long
_SHUTDOWN_SECONDS = 0.5


def application(options: SimulatorOptions) -> web.Application:
    """The routes of one simulated provider."""
    vendor = _VENDORS[options.wire_format]()
    provider = Provider(options, vendor)
    app = web.Application(client_max_size=_LARGEST_BODY)
    for endpoint in vendor.endpoints:
        app.router.add_post(endpoint.path, CallHandler(provider, endpoint).handle)
    app.add_routes(control.routes(provider))
    app.add_routes(_lists(provider))
    return app


def _lists(provider: Provider) -> list[web.RouteDef]:
    vendor = provider.vendor
    names = provider.options.models or SAMPLE_MODELS

    async def models(request: web.Request) -> web.Response:
        return answer(request, None)

    async def model(request: web.Request) -> web.Response:
        return answer(request, request.match_info["name"])

    async def nowhere(request: web.Request) -> web.Response:
        message = f"Unknown request URL: {request.method} {request.path}."
        return provider.refuse(RefusalError(404, message, code="unknown_url"), provider.new_call())

    def answer(request: web.Request, name: str | None) -> web.Response:
        call = provider.new_call()
        try:
            provider.authorise(head_of(request))
            if name is None:
                body = vendor.models(names)
            elif provider.options.models is None or name in names:
                body = vendor.model(name)
            else:
                raise vendor.unknown_model(name)
        except RefusalError as refusal:
            return provider.refuse(refusal, call)
        headers = provider.success_headers(call) | {"Content-Type": "application/json"}
        return web.Response(body=orjson.dumps(body), headers=headers)

    path = _MODELS_PATHS.get(provider.options.wire_format, "/v1/models")
    return [
        web.get(path, models),
        web.get(path + "/{name:.+}", model),
        web.route("*", "/{path:.*}", nowhere),
    ]


@asynccontextmanager
async def start(options: SimulatorOptions) -> AsyncIterator[str]:
    """Run a simulator on this event loop for as long as the context lasts.

    Yields its address, such as `http://127.0.0.1:49152`; OpenAI's clients want `/v1` added to it.

    Raises:
        OSError: the address cannot be listened on.
    """
    runner = web.AppRunner(
        application(options),
        access_log=None,
        # A client that hangs up ends its call, as a real provider's gateway does.
        handler_cancellation=True,
        keepalive_timeout=_KEEPALIVE_SECONDS,
        shutdown_timeout=_SHUTDOWN_SECONDS,
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, options.host, options.port, backlog=_BACKLOG)
        await site.start()
        host = f"[{options.host}]" if ":" in options.host else options.host
        yield f"http://{host}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def run(options: SimulatorOptions) -> None:
    """Serve until SIGINT or SIGTERM; prints `listening on http://host:port` once calls are taken.

    Raises:
        OSError: the address cannot be listened on.
    """
    uvloop.run(_serve(options))


async def _serve(options: SimulatorOptions) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with start(options) as address:
        print(f"listening on {address}", flush=True)  # noqa: T201 - whoever started it waits for this line
        await stopped.wait()
