"""Which part of a driving is read, and the numbers that must make sense before any work."""

from __future__ import annotations

from vid2vid_cli.errors import UsageError
from vid2vid_cli.media.video import ReadOptions
from vid2vid_cli.pipeline.options import DrivingOptions
from vid2vid_cli.pipeline.parsing import parse_fps, parse_time
from vid2vid_cli.pipeline.progress import WarningLog


def reading_options(options: DrivingOptions, log: WarningLog) -> ReadOptions:
    """Read --start, --end and --fps."""
    start_s, end_s = parse_time(options.start, "start"), parse_time(options.end, "end")
    if end_s is not None and end_s <= (start_s or 0):
        raise UsageError(f"--end {options.end}: not after --start")
    return ReadOptions(start_s=start_s, end_s=end_s, fps=parse_fps(options.fps), warn=log.warn)


def check_motion_numbers(options: DrivingOptions) -> None:
    """Raise UsageError for numbers out of range."""
    if not 0 <= options.smooth <= 10:
        raise UsageError(f"--smooth {options.smooth:g}: write a number from 0 to 10")
