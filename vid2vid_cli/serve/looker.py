"""A process that looks at files and options for the server, which itself loads no torch: main() runs in it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from typing import Any

from vid2vid_cli.process.python_child import own_stdout
from vid2vid_cli.serve.pipes import pack, read_message


def main() -> None:
    """Answer requests until the input ends. argv: the checkpoint."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's to handle
    out = own_stdout()
    from vid2vid_cli.serve.looks import Looks

    looks = Looks(sys.argv[1])
    with os.fdopen(os.dup(0), "rb") as requests:
        while (request := read_message(requests)) is not None:
            out.write(pack(answer(looks, request)))
            out.flush()
    os._exit(0)  # skips the second that Python takes to unload the libraries


def answer(looks: Any, request: Any) -> Mapping[str, Any]:
    """Do what is asked, and return the result or the line that says what went wrong."""
    from vid2vid_cli.errors import describe_failure

    try:
        return {"result": getattr(looks, request["do"])(**request["with"])}
    except Exception as error:  # noqa: BLE001  every failure is an answer
        text, code = describe_failure(error)
        return {"error": text, "code": code}
