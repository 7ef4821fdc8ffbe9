"""The program `vid2vid`, also as `python -m vid2vid_cli`."""

from __future__ import annotations

import gc
import signal

INTERRUPTED = 130
SIGNALLED = 129
# Loading makes some hundred thousand objects, which stay. By Python's own number, 700, it would look through them for
# garbage again and again.
NEW_OBJECTS = 50_000


def main() -> int:
    """Run the command line; an interrupt while it is loaded, or while Python ends, makes no traceback."""
    gc.set_threshold(NEW_OBJECTS)
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
    gc.freeze()  # nothing is looked through while Python ends
    return code


if __name__ == "__main__":
    raise SystemExit(main())
