"""A process that renders one live picture at a time for the server: main() runs in it.

Messages in: start, controls, reference, stop_camera and end as objects, a camera's pictures as JPEG. Out: ready, frame,
warning, error and ended as objects; behind each frame its picture as JPEG.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Mapping
from typing import Any

from vid2vid_cli.process.python_child import own_stdout
from vid2vid_cli.serve.live_inbox import Inbox
from vid2vid_cli.serve.pipes import pack


def main() -> None:
    """Render until the input ends. argv: checkpoint, device, dtype and detector, each as the option is written."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's to handle
    out, inbox = own_stdout(), Inbox()
    threading.Thread(target=inbox.listen, args=(os.fdopen(os.dup(0), "rb"),), daemon=True).start()
    from vid2vid_cli.serve.live_stage import LiveStage

    def send(*messages: Mapping[str, Any] | bytes) -> None:
        out.write(b"".join(map(pack, messages)))
        out.flush()

    stage = LiveStage(sys.argv[1:], send)
    send({"type": "loaded"})
    while True:
        stage.play(*inbox.take(), dropped=inbox.dropped)
