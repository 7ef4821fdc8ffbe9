"""Lets `python -m vid2vid_cli` be the command `vid2vid`."""

from vid2vid_cli.cli.app import main

if __name__ == "__main__":
    raise SystemExit(main())
