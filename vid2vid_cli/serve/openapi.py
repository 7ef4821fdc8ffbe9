"""Describe the API for programs (OpenAPI 3.1), from the table of its addresses."""

from __future__ import annotations

import re
from typing import Any

from vid2vid_cli.batch.jobs import KINDS
from vid2vid_cli.serve.endpoints import ENDPOINTS, LIVE_PATH, Endpoint
from vid2vid_cli.serve.job_book import STATES
from vid2vid_cli.serve.job_requests import MEDIA_TYPES, describe_options
from vid2vid_cli.version import __version__

TEXT, NUMBER, WHOLE, FLAG = ({"type": kind} for kind in ("string", "number", "integer", "boolean"))
FILE_KINDS = ("picture", "video", "sound", "motion", "person")
UPLOAD = {"type": "string", "format": "binary"}
_LIVE = (
    f"Live pictures go through a WebSocket at {LIVE_PATH}; docs/serve.md has its messages. Errors of all addresses are "
    "objects with one line and the exit code of the command line."
)


def describe_api() -> dict[str, Any]:
    """Return the OpenAPI document."""
    paths: dict[str, dict[str, Any]] = {}
    for each in ENDPOINTS:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each)
    return {
        "openapi": "3.1.0",
        "info": {"title": "vid2vid serve", "version": __version__, "description": _LIVE},
        "security": [{"bearer": []}, {"cookie": []}],
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": "vid2vid_token_PORT"},
            },
        },
    }


def _operation(each: Endpoint) -> dict[str, Any]:
    answers = {str(status): _answer(kind) for status, kind in each.answers.items()}
    answers["4XX"] = {"description": "What is wrong", "content": {"application/json": {"schema": _ref("Error")}}}
    names = re.findall(r"{(\w+)}", each.path)
    parameters = [{"name": name, "in": "path", "required": True, "schema": TEXT} for name in names]
    parameters += [
        {"name": name, "in": "query", "description": text, "schema": TEXT} for name, text in each.query.items()
    ]
    operation: dict[str, Any] = {
        "operationId": f"{each.handler.__module__.rsplit('.', 1)[-1]}.{each.handler.__name__}",
        "summary": each.summary,
        "parameters": parameters,
        "responses": answers,
    }
    if each.form is not None:
        content = {"multipart/form-data": {"schema": _ref(each.form)}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _answer(kind: str) -> dict[str, Any]:
    if not kind:
        return {"description": "Done"}
    if "/" not in kind:
        return {"description": kind, "content": {"application/json": {"schema": _ref(kind)}}}
    return {"description": kind, "content": {kind: {"schema": {"type": "object"} if kind.endswith("json") else UPLOAD}}}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(properties: dict[str, Any], required: tuple[str, ...] | None = None) -> dict[str, Any]:
    """Describe an object. required: which properties are always there; None for all."""
    return {"type": "object", "properties": properties, "required": list(properties if required is None else required)}


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


def _list(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": schema}


def _schemas() -> dict[str, Any]:
    job = {"type": "string", "contentMediaType": "application/json", "contentSchema": _ref("JobRequest")}
    return {
        "Error": _object({"error": TEXT, "code": WHOLE}),
        "File": _file_schema(),
        "FileForm": _object({"file": UPLOAD}),
        "Info": _info_schema(),
        "Job": _job_schema(),
        "Jobs": _object({"jobs": _list(_ref("Job"))}),
        "JobForm": _object({"job": job, "source": UPLOAD, "driving": UPLOAD}, ("job",)),
        "JobRequest": _job_request_schema(),
    }


def _file_schema() -> dict[str, Any]:
    sides = {"x": NUMBER, "y": NUMBER, "width": NUMBER, "height": NUMBER}
    return _object(
        {
            "id": TEXT,
            "kind": {"type": "string", "enum": list(FILE_KINDS)},
            "name": TEXT,
            "bytes": WHOLE,
            "width": _or_null(WHOLE),
            "height": _or_null(WHOLE),
            "duration_s": _or_null(NUMBER),
            "faces": _list(_object({"index": WHOLE, **sides})),
        }
    )


def _job_schema() -> dict[str, Any]:
    return _object(
        {
            "id": TEXT,
            "command": _command(),
            "state": {"type": "string", "enum": list(STATES)},
            "created": NUMBER,
            "done": WHOLE,
            "total": _or_null(WHOLE),
            "error": _or_null(TEXT),
            "code": WHOLE,
            "seconds": NUMBER,
            "command_line": TEXT,
            "source": TEXT,
            "driving": _or_null(TEXT),
            "format": _formats(),
            "has_preview": FLAG,
            "result": _or_null(_object({"name": TEXT, "bytes": WHOLE, "media_type": TEXT})),
            "warnings": _list(TEXT),
        }
    )


def _command() -> dict[str, Any]:
    return {"type": "string", "enum": list(KINDS)}


def _formats() -> dict[str, Any]:
    return {"type": "string", "enum": list(MEDIA_TYPES)}


def _job_request_schema() -> dict[str, Any]:
    options = {each["name"]: _option(each) for command in KINDS for each in describe_options(command)}
    properties = {
        "command": _command(),
        "source": {"type": "string", "description": "id of a file; left out where the file comes along"},
        "driving": {"type": "string", "description": "id of a file; not for rotate"},
        "options": {"type": "object", "properties": options, "additionalProperties": False},
        "format": _formats(),
    }
    return _object(properties, ("command",))


def _option(described: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": described["type"], "description": described["help"]}
    return schema | ({"enum": described["choices"]} if described["choices"] else {})


def _info_schema() -> dict[str, Any]:
    counts = dict.fromkeys(("upload_bytes", "pixels", "jobs", "sockets", "files"), WHOLE)
    return _object(
        {
            "version": TEXT,
            "checkpoint": TEXT,
            "family": TEXT,
            "limits": _object({**counts, "duration_s": NUMBER}),
            "commands": {"type": "object"},
            "formats": _list(_formats()),
            "expressions": _list(_object({"name": TEXT, "help": TEXT})),
            "has_gaze": FLAG,
            "has_head_pose": FLAG,
            "live": _object({"max_in_flight": WHOLE}),
        }
    )
