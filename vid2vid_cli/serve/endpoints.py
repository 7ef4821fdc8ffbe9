"""The addresses of the API: one table, from which both the routes and their description are made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import Response

from vid2vid_cli.serve import file_requests, info_requests, job_answers

JPEG, EVENTS, FILE = "image/jpeg", "text/event-stream", "application/octet-stream"


@dataclass(frozen=True)
class Endpoint:
    """One method of one address.

    answers: by status a schema of openapi.py, a media type, or "" for no body. form: the schema of the form that it
    takes. query: names of parameters, with what they do.
    """

    method: str
    path: str
    handler: Callable[[Request], Awaitable[Response]]
    summary: str
    answers: Mapping[int, str]
    form: str | None = None
    query: Mapping[str, str] = field(default_factory=dict)


ENDPOINTS = (
    Endpoint("GET", "/api/info", info_requests.info, "What the server can do, and its limits", {200: "Info"}),
    Endpoint("POST", "/api/files", file_requests.add, "Send a file", {201: "File"}, "FileForm"),
    Endpoint("GET", "/api/files/{id}", file_requests.show, "What a file holds", {200: "File"}),
    Endpoint("DELETE", "/api/files/{id}", file_requests.delete, "Delete a file", {204: ""}),
    Endpoint("GET", "/api/files/{id}/picture", file_requests.picture, "A small picture of a file", {200: JPEG}),
    Endpoint(
        *("GET", "/api/files/{id}/content", file_requests.content, "A video as it was sent; ranges work"),
        {200: FILE, 206: FILE},
    ),
    Endpoint("GET", "/api/jobs", job_answers.show_all, "All jobs, the newest first", {200: "Jobs"}),
    Endpoint("POST", "/api/jobs", job_answers.add, "Begin a job", {201: "Job"}, "JobForm"),
    Endpoint("GET", "/api/jobs/{id}", job_answers.show, "How far a job is", {200: "Job"}),
    Endpoint("DELETE", "/api/jobs/{id}", job_answers.delete, "Cancel a job, or delete an ended one", {200: "Job"}),
    Endpoint("GET", "/api/jobs/{id}/events", job_answers.events, "The same, as it changes", {200: EVENTS}),
    Endpoint("GET", "/api/jobs/{id}/preview", job_answers.preview, "The newest frame of a job", {200: JPEG}),
    Endpoint(
        *("GET", "/api/jobs/{id}/result", job_answers.result, "What a job has made; ranges work"),
        {200: FILE, 206: FILE},
        query={"download": "1 for an attachment"},
    ),
)
OPENAPI_PATH, LIVE_PATH = "/api/openapi.json", "/api/live"
