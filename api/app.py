"""The HTTP application: routes, errors, and the services they share."""

import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI

from api import errors, models
from api.admin import breakers, cache, health, keys, learnt, metrics, savings, tenants
from api.admin import routes as admin
from api.anthropic import batches as message_batches
from api.anthropic import messages
from api.auth import Keys
from api.jobs import cache as own_cache
from api.jobs import rehearsals
from api.jobs import routes as jobs
from api.openai import batch_results, batches, chat, completions, embeddings, files, responses, uploads
from api.paths import TrailingSlash
from api.request_limits import RequestLimits
from api.response_headers import ResponseHeaders
from api.schema import routes as schema
from api.services import open_services
from api.webhooks import callbacks, deliveries, endpoints
from penstock.settings import Settings


def create_app(settings: Settings) -> FastAPI:
    """The application for one process."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_services(settings) as services:
            app.state.services = services
            app.state.keys = Keys(services)
            yield

    app = FastAPI(title="Penstock", version="0.1.0", lifespan=lifespan, openapi_url=None)
    app.router.redirect_slashes = False
    for router in (
        chat.router, completions.router, embeddings.router, responses.router, files.router, uploads.router,
        batches.router, batch_results.router, message_batches.router, messages.router, models.router, jobs.router,
        rehearsals.router, own_cache.router, cache.router, keys.router, tenants.router, admin.router, learnt.router,
        breakers.router, savings.router, metrics.router, endpoints.router, deliveries.router, callbacks.router,
        health.router, schema.router,
    ):  # fmt: skip
        app.include_router(router)
    errors.add_handlers(app)
    app.add_middleware(TrailingSlash)
    app.add_middleware(RequestLimits, limits=settings.config.http)
    app.add_middleware(ResponseHeaders)
    return app
