"""What can go wrong in a way that the user can mend: one class per cause, one line per message."""

from __future__ import annotations


class Vid2VidError(Exception):
    """Base of all failures that a user can mend; its text is one line: what, which file, how to mend it."""

    exit_code = 1


class UsageError(Vid2VidError):
    """Options that contradict each other or cannot be read."""

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
    """The output is there already and --force was not given."""


class MotionFileError(Vid2VidError):
    """A motion file that is damaged, of a newer schema or of another family."""
