"""From what a client asks for to a job: the options are those of the command line, and checked as those are."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, get_args, get_type_hints

from vid2vid_cli.batch.jobs import KINDS, Options
from vid2vid_cli.batch.manifest import ManifestRow, kinds_of, with_cells
from vid2vid_cli.errors import UsageError
from vid2vid_cli.serve.clients_json import parse_json
from vid2vid_cli.serve.options import Limits, ServeOptions
from vid2vid_cli.serve.refusals import RefusedError
from vid2vid_cli.serve.store import MOVING, SHOWN, FileStore, StoredFile

MEDIA_TYPES = {
    "mp4": "video/mp4",
    "webm": "video/webm",
    "gif": "image/gif",
    "png": "image/png",
}
SPOKEN = ("sound", "video")
OWN = frozenset({"checkpoint", "device", "dtype", "threads", "detector", "force", "max_pixels"})
"""The options that are the server's to set."""


@dataclass(frozen=True)
class JobRequest:
    """What a client asks for, with files and options that are there. background: the file behind the person."""

    command: str
    source: StoredFile
    driving: StoredFile | None
    background: StoredFile | None
    options: Options
    format: str
    command_line: str

    @property
    def files(self) -> tuple[StoredFile, ...]:
        """All files that the job reads."""
        return tuple(each for each in (self.source, self.driving, self.background) if each is not None)

    @property
    def is_clip(self) -> bool:
        """Whether there will be more than one frame, in whatever kind of file."""
        return self.source.kind == "video" or (self.driving is not None and self.driving.kind != "picture")


def parse_job(plain: bytes | None) -> dict[str, Any]:
    """Parse the field `job` of a form. RefusedError for what is no object."""
    if plain is None:
        raise RefusedError("send what is to be done in the field job", 422)
    try:
        asked = parse_json(plain)
    except ValueError as error:
        raise RefusedError(f"job: is not JSON: {error}", 422) from error
    if not isinstance(asked, dict):
        raise RefusedError('job: write an object, such as {"command": "reenact", ...}', 422)
    return asked


def read_request(asked: Mapping[str, Any], store: FileStore, server: ServeOptions, limits: Limits) -> JobRequest:
    """Read what a client asks for. RefusedError or UsageError in one line for what makes no sense."""
    unknown = sorted(set(asked) - {"command", "source", "driving", "options", "format"})
    if unknown:
        raise RefusedError(f"job: {unknown[0]} is not known; write command, source, driving, options and format", 422)
    command = asked.get("command")
    if not isinstance(command, str) or command not in KINDS:
        raise RefusedError(f"job: command: write one of {', '.join(KINDS)}", 422)
    source, driving = _roles(command, asked, store)
    given = _given_options(asked)
    background = store.files.get(given.get("background", ""))
    options = _options(command, given, server, limits)
    if background is not None:
        options = replace(options, background=str(background.path))
    words = _command_line(command, [each for each in (source, driving) if each is not None], given, background)
    request = JobRequest(command, source, driving, background, options, "", words)
    return replace(request, format=_format(asked.get("format"), request))


def _roles(command: str, asked: Mapping[str, Any], store: FileStore) -> tuple[StoredFile, StoredFile | None]:
    source = store.get(asked.get("source"), SHOWN, "source")
    if command == "rotate":
        if asked.get("driving") is not None:
            raise RefusedError("job: rotate takes no driving; leave it out", 422)
        return source, None
    return source, store.get(asked.get("driving"), SPOKEN if command == "speak" else MOVING, "driving")


def _given_options(asked: Mapping[str, Any]) -> dict[str, Any]:
    given = asked.get("options", {})
    if not isinstance(given, dict):
        raise RefusedError("job: options: write an object of names and values", 422)
    for name in given:
        if name in OWN:
            raise RefusedError(f"option {name}: is chosen where the server is started; leave it out", 422)
    return {name: value for name, value in given.items() if value is not None}


def _options(command: str, given: Mapping[str, Any], server: ServeOptions, limits: Limits) -> Options:
    base = KINDS[command](
        checkpoint=server.checkpoint,
        device=server.device,
        dtype=server.dtype,
        detector=server.detector,
        max_pixels=limits.pixels,
    )
    for name, value in given.items():
        if isinstance(value, str) and "\0" in value:
            raise UsageError(f"option {name}: has a zero byte in it")
    options = with_cells(base, ManifestRow("options", given))
    if options.size is not None and options.size > limits.longest_px:
        raise UsageError(f"--size {options.size}: the server makes pictures of {limits.longest_px} pixels at most")
    return options


def _format(asked: object, request: JobRequest) -> str:
    angles = (request.options.yaw, request.options.pitch, request.options.roll)
    is_sweep = request.command == "rotate" and any(":" in (angle or "") for angle in angles)
    if asked is None:
        clip = "webm" if request.options.background == "transparent" else "mp4"
        return clip if request.is_clip or is_sweep else "png"
    if not isinstance(asked, str) or asked not in MEDIA_TYPES:
        raise RefusedError(f"job: format: write one of {', '.join(MEDIA_TYPES)}", 422)
    return asked


def _command_line(
    command: str, files: list[StoredFile], given: Mapping[str, Any], background: StoredFile | None
) -> str:
    """Return the command that does the same where the files lie."""
    words = ["vid2vid", command, *(f"./{each.name}" if each.name.startswith("-") else each.name for each in files)]
    flags = {field.name: flags_of(field.name, field.metadata, field.default) for field in fields(KINDS[command])}
    for name, value in given.items():
        on, _, off = flags.get(name, f"--{name}").partition("/")
        if name == "background" and background is not None:
            value = background.name  # noqa: PLW2901
        if isinstance(value, bool):
            words += [on if value else off] if value or off else []
        else:
            words.append(f"{on}={value}" if str(value).startswith("-") else on)
            words += [] if str(value).startswith("-") else [str(value)]
    return shlex.join(words)


def flags_of(name: str, metadata: Mapping[str, Any], default: Any) -> str:
    """Return an option's long flag on the command line; of a pair, both with a slash between them."""
    long = [flag for flag in metadata.get("flags") or () if flag.startswith("--")]
    flag = f"--{name.replace('_', '-')}"
    return str(long[0]) if long else f"{flag}/--no-{flag[2:]}" if default is True else flag


def describe_options(command: str) -> list[dict[str, Any]]:
    """List the options of a command that a client may set, with what a form needs to know of each."""
    kind = KINDS[command]
    hints = get_type_hints(kind)
    return [
        {
            "name": field.name,
            "flag": flags_of(field.name, field.metadata, field.default),
            "default": field.default,
            "panel": field.metadata.get("panel") or "",
            "help": field.metadata.get("help") or "",
            **_type_of(hints[field.name]),
        }
        for field in fields(kind)
        if field.name not in OWN
    ]


def _type_of(hint: Any) -> dict[str, Any]:
    plain = next(kind for kind in kinds_of(hint) if kind is not type(None))
    choices = [str(choice) for choice in get_args(plain)]
    names = {bool: "boolean", int: "integer", float: "number"}
    return {"type": "string" if choices else names.get(plain, "string"), "choices": choices or None}
