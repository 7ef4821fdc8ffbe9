"""The application: its addresses, and what it does when it begins and ends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from vid2vid_cli.errors import Vid2VidError
from vid2vid_cli.serve.endpoints import ENDPOINTS, LIVE_PATH, OPENAPI_PATH
from vid2vid_cli.serve.guard import Door, Guard
from vid2vid_cli.serve.live_socket import live
from vid2vid_cli.serve.openapi import describe_api
from vid2vid_cli.serve.options import Limits
from vid2vid_cli.serve.refusals import answer_error
from vid2vid_cli.serve.service import Folders, Service

PAGE = Path(__file__).parent / "page"


def make_app(
    door: Door, folders: Folders, on_start: Callable[[], None], on_failure: Callable[[Vid2VidError], None]
) -> ASGIApp:
    """Make the application. folders: its private one exists already. on_start: called when it can be asked.

    on_failure: called with what keeps it from beginning.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        try:
            service = app.state.service = Service(door.options, folders)
        except Vid2VidError as error:
            on_failure(error)  # uvicorn would write a traceback and say nothing
            raise
        service.start()
        on_start()
        try:
            yield
        finally:
            await service.close()

    handlers = {HTTPException: answer_error, Vid2VidError: answer_error, Exception: answer_error}
    app = Starlette(routes=routes(), exception_handlers=handlers, lifespan=lifespan)
    app.router.redirect_slashes = False  # an address has one spelling
    return Guard(app, door, Limits.of(door.options).part_s)


def routes() -> list[BaseRoute]:
    """Return all routes: the page, the API and the live pictures."""
    return [
        Route("/", _page),
        Mount("/static", StaticFiles(directory=PAGE)),
        *(Route(each.path, each.handler, methods=[each.method]) for each in ENDPOINTS),
        Route(OPENAPI_PATH, _openapi),
        WebSocketRoute(LIVE_PATH, live),
    ]


async def _page(request: Request) -> Response:
    return FileResponse(PAGE / "index.html")


async def _openapi(request: Request) -> Response:
    return JSONResponse(describe_api())
