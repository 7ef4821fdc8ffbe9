"""Answer requests about jobs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import ExitStack

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse

from vid2vid_cli.serve.forms import read_form
from vid2vid_cli.serve.job_book import JobRecord
from vid2vid_cli.serve.job_requests import parse_job, read_request
from vid2vid_cli.serve.refusals import RefusedError, not_found
from vid2vid_cli.serve.service import Service

ROLES = ("source", "driving")


async def show_all(request: Request) -> Response:
    """List all jobs, the newest first."""
    service: Service = request.app.state.service
    return JSONResponse({"jobs": [record.to_json() for record in service.book.newest_first()]})


async def add(request: Request) -> Response:
    """Begin a job. Files may come with it, or have come before it."""
    service: Service = request.app.state.service
    service.book.check_room()  # before anything is taken in
    async with read_form(request, service.store, service.limits) as form:
        asked = parse_job(form.fields.get("job"))
        with ExitStack() as undo:
            for role, upload in form.files.items():
                if role not in ROLES:
                    raise RefusedError(f"file {role}: is not known; send source and driving", 422)
                stored = await service.take(upload)
                undo.callback(service.store.discard, stored.id)  # of a refused job the client learns no ids
                asked[role] = stored.id
            record = await service.begin_job(read_request(asked, service.store, service.options, service.limits))
            undo.pop_all()
    return JSONResponse(record.to_json(), 201)


async def show(request: Request) -> Response:
    """Say how far a job is."""
    return JSONResponse(_record(request).to_json())


async def delete(request: Request) -> Response:
    """Cancel a job, or delete one that has ended."""
    service: Service = request.app.state.service
    return JSONResponse((await service.book.delete(request.path_params["id"])).to_json())


async def preview(request: Request) -> Response:
    """Return the newest frame of a job."""
    record = _record(request)
    if record.job.preview is None or not record.job.preview.is_file():
        raise not_found("preview yet")
    # Read at once: the worker puts a newer one in its place while this one would still be sent.
    return Response(record.job.preview.read_bytes(), media_type="image/jpeg")


async def result(request: Request) -> Response:
    """Return what a job has made."""
    record = _record(request)
    if record.state != "done" or not record.job.output.is_file():
        raise RefusedError(f"the job is {record.state} and has no result", 409)
    kind = "attachment" if request.query_params.get("download") == "1" else "inline"
    return FileResponse(
        record.job.output,
        media_type=record.media_type,
        filename=record.result_name,
        content_disposition_type=kind,
    )


async def events(request: Request) -> Response:
    """Send a job each time that it changes, until it has ended."""
    service: Service = request.app.state.service
    return StreamingResponse(_stream(service, _record(request)), media_type="text/event-stream")


async def _stream(service: Service, record: JobRecord) -> AsyncIterator[str]:
    async for news in service.book.news(record):
        if news == "job":
            yield f"event: job\ndata: {json.dumps(record.to_json())}\n\n"
        elif news == "preview":
            yield f'event: preview\ndata: {{"index": {record.previews}}}\n\n'
        else:
            yield ": still here\n\n"  # so that a client that went away is noticed


def _record(request: Request) -> JobRecord:
    service: Service = request.app.state.service
    return service.book.get(request.path_params["id"])
