"""Answer requests about files."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

from vid2vid_cli.serve.forms import read_form
from vid2vid_cli.serve.refusals import RefusedError, not_found
from vid2vid_cli.serve.service import Service

MATROSKA = bytes.fromhex("1a45dfa3")
"""How .webm begins, and .mkv."""


async def add(request: Request) -> Response:
    """Take the file of a form."""
    service: Service = request.app.state.service
    async with read_form(request, service.store, service.limits) as form:
        upload = form.files.get("file")
        if upload is None or len(form.files) > 1:
            raise RefusedError("send one file, in the field file", 422)
        return JSONResponse((await service.take(upload)).to_json(), 201)


async def show(request: Request) -> Response:
    """Say what a file holds."""
    service: Service = request.app.state.service
    return JSONResponse(service.store.get(request.path_params["id"]).to_json())


async def picture(request: Request) -> Response:
    """Return a small picture of a file."""
    service: Service = request.app.state.service
    stored = service.store.get(request.path_params["id"])
    if not stored.picture.is_file():
        raise not_found("picture: it is no picture and no video")
    return FileResponse(stored.picture, media_type="image/jpeg")


async def content(request: Request) -> Response:
    """Return a video as it was sent, so that it can be played beside what was made of it."""
    service: Service = request.app.state.service
    stored = service.store.get(request.path_params["id"])
    if stored.kind != "video":
        raise not_found("film: it is no video")
    with stored.path.open("rb") as file:
        is_matroska = file.read(len(MATROSKA)) == MATROSKA
    return FileResponse(stored.path, media_type="video/webm" if is_matroska else "video/mp4")


async def delete(request: Request) -> Response:
    """Delete a file."""
    service: Service = request.app.state.service
    service.store.delete(request.path_params["id"])
    return Response(status_code=204)
