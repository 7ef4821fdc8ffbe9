"""What the server answers when it does not do what it is asked: one line, as on the command line, and a status."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from vid2vid_cli.errors import UsageError, Vid2VidError, describe_failure, one_line

UNPROCESSABLE = 422
WORDS = {404: "there is nothing here; see /api/openapi.json", 405: "this address does not know that method"}


class RefusedError(Vid2VidError):
    """A request that is refused. status: of the answer, 4xx."""

    def __init__(self, text: str, status: int, exit_code: int = UsageError.exit_code) -> None:
        super().__init__(text)
        self.status, self.exit_code = status, exit_code


def not_found(what: str) -> RefusedError:
    """Return the refusal for an id that nobody has been given, or that is gone."""
    return RefusedError(f"there is no such {what}; it may have been deleted", 404)


def answer_error(request: Request, error: Exception) -> Response:
    """Answer a request whose handling failed."""
    if isinstance(error, HTTPException):
        text = WORDS.get(error.status_code, str(error.detail))
        return error_response(text, error.status_code, UsageError.exit_code, dict(error.headers or {}))
    text, code = describe_failure(error)
    status = (
        error.status if isinstance(error, RefusedError) else UNPROCESSABLE if isinstance(error, Vid2VidError) else 500
    )
    return error_response(text, status, code)


def error_response(text: str, status: int, code: int, headers: dict[str, str] | None = None) -> Response:
    """Return an error as JSON."""
    readable = text.encode("utf-8", "replace").decode()  # names of files may hold bytes that are no characters
    return JSONResponse({"error": one_line(readable), "code": code}, status, headers)
