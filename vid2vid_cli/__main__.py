"""The program `vid2vid`, also as `python -m vid2vid_cli`."""

from __future__ import annotations

INTERRUPTED = 130


def main() -> int:
    """Run the command line; an interrupt while it is loaded ends it without a traceback."""
    try:
        from vid2vid_cli.cli.app import main as run

        return run()
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    raise SystemExit(main())
