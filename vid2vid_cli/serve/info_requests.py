"""Answer what the server can do."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from vid2vid_cli.batch.jobs import KINDS
from vid2vid_cli.serve.job_requests import MEDIA_TYPES, describe_options
from vid2vid_cli.serve.live_sessions import MOST_IN_FLIGHT
from vid2vid_cli.serve.service import Service
from vid2vid_cli.version import __version__


async def info(request: Request) -> Response:
    """Say what the server can do, and its limits."""
    service: Service = request.app.state.service
    limits = service.limits
    return JSONResponse(
        {
            "version": __version__,
            "checkpoint": service.options.checkpoint,
            "limits": {
                "upload_bytes": limits.upload_bytes,
                "pixels": limits.pixels,
                "duration_s": limits.duration_s,
                "jobs": limits.jobs,
                "sockets": limits.sockets,
                "files": limits.files,
            },
            "commands": {command: {"options": describe_options(command)} for command in KINDS},
            "formats": list(MEDIA_TYPES),
            "live": {"max_in_flight": MOST_IN_FLIGHT},
            **await service.looker.family(),
        }
    )
