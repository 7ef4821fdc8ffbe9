"""Failures that the user can do something about: one class per cause, one line per message."""

from __future__ import annotations

import re

PARTLY_DONE = 5
"""The exit code of a command that made something, but not all that it was asked for."""


# How torch and C++ libraries say it. CUDA's own message is kept: it tells what to do.
_OUT_OF_MEMORY = re.compile(r"(?i)bad_alloc|can(not|'t) allocate memory|not enough memory")


class Vid2VidError(Exception):
    """Base of all failures that a user can fix. Its text is one line: which file, what is wrong, how to fix it."""

    exit_code = 1


class UsageError(Vid2VidError):
    """Options that contradict each other or make no sense."""

    exit_code = 2


class NoFaceError(Vid2VidError):
    """No face where one is needed."""

    exit_code = 3


class WeightsError(Vid2VidError):
    """A checkpoint that is missing, damaged or not of a known family."""

    exit_code = 4


class MediaError(Vid2VidError):
    """A picture, video or sound that cannot be read or written."""


class OutputExistsError(Vid2VidError):
    """The output exists already and --force was not given."""


class CancelledError(Vid2VidError):
    """A job that was begun, and that nobody wants any more."""

    def __init__(self) -> None:
        super().__init__("cancelled")


class NonFiniteError(Vid2VidError):
    """A network returned numbers that are infinite or undefined."""


class CredentialsError(Vid2VidError):
    """A signing key that cannot be used, or an output that cannot be signed."""


class NoPlaceForKeyError(CredentialsError):
    """There is no key, and nowhere to keep one: outputs can be made all the same, unsigned."""


class MotionFileError(Vid2VidError):
    """A motion file that is damaged, of a newer schema, or of another family."""


class PersonFileError(Vid2VidError):
    """A person file that is damaged, or of another schema."""


class CallFileError(Vid2VidError):
    """A call file or stream that is damaged, of a newer version, or of another family."""


class VoiceError(Vid2VidError):
    """A program that reads texts aloud is missing or has failed."""


class TranscriptError(Vid2VidError):
    """A transcript or text that cannot be read, or that does not match its sound."""


def describe_failure(error: BaseException) -> tuple[str, int]:
    """Return the line that describes a failure, and the exit code."""
    if isinstance(error, Vid2VidError):
        return str(error), error.exit_code
    if is_out_of_memory(error):
        return f"out of memory; a smaller --size needs less ({str(error) or 'no details'})", 1
    # Anything else is a fault of ours: the line can only say how to find it.
    reason = f"unexpected {type(error).__name__}: {error}" if str(error) else f"unexpected {type(error).__name__}"
    return f"{reason}; run again with --verbose to see where", 1


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an error, also one of torch, means that memory ran out."""
    is_told = isinstance(error, RuntimeError | OSError) and _OUT_OF_MEMORY.search(str(error)) is not None
    return isinstance(error, MemoryError) or is_told


def one_line(text: str) -> str:
    """Return a text on one line, without characters that would control a terminal."""
    text = re.sub(r"\s*[\r\n]+\s*", " ", text.strip())
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", lambda found: f"\\x{ord(found[0]):02x}", text)
