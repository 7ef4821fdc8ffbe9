"""The program `vid2vid`, also as `python -m vid2vid_cli`."""

from __future__ import annotations

import signal

INTERRUPTED = 130
SIGNALLED = 129


def main() -> int:
    """Run the command line; an interrupt while it is loaded, or while Python ends, makes no traceback."""
    try:
        from vid2vid_cli.cli.streams import open_missing_streams

        open_missing_streams()
        from vid2vid_cli.cli.signals import end_process, process

        process.is_ours = True
        from vid2vid_cli.cli.app import main as run

        code = run()
    except KeyboardInterrupt:
        return INTERRUPTED
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if code >= SIGNALLED:
        end_process(code)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
