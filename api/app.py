"""The HTTP application: routes, errors, and the services they share."""

import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI

from api import errors
from api.admin import breakers, health, metrics
from api.admin import routes as admin
from api.auth import Keys
from api.jobs import routes as jobs
from api.openai import batch_results, batches, chat, files, models, responses
from api.response_headers import ResponseHeaders
from api.services import open_services
from penstock.settings import Settings


def create_app(settings: Settings) -> FastAPI:
    """The application for one process."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_services(settings) as services:
            app.state.services = services
            app.state.keys = Keys(services)
            yield

    app = FastAPI(title="Penstock", version="0.1.0", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.router.redirect_slashes = False
    for router in (
        chat.router, responses.router, files.router, batches.router, batch_results.router, models.router, jobs.router,
        admin.router, breakers.router, metrics.router, health.router,
    ):  # fmt: skip
        app.include_router(router)
    errors.add_handlers(app)
    app.add_middleware(ResponseHeaders)
    return app
