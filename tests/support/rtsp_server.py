"""An RTSP server of GStreamer, as Debian has it (gir1.2-gst-rtsp-server-1.0): run by the system's own Python.

python3 rtsp_server.py PORT   serves rtsp://127.0.0.1:PORT/test, a picture of 320x240 that moves, until it is killed
"""

from __future__ import annotations

import sys
from typing import Any

PIPELINE = (
    "( videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=320,height=240,framerate=25/1 "
    "! jpegenc quality=90 ! rtpjpegpay name=pay0 pt=26 )"
)


def main() -> None:
    """Serve until the end."""
    import gi  # type: ignore[import-not-found]

    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    from gi.repository import GLib, Gst, GstRtspServer  # type: ignore[import-not-found]

    Gst.init(None)
    server: Any = GstRtspServer.RTSPServer.new()
    server.set_service(sys.argv[1])
    server.set_address("127.0.0.1")
    factory: Any = GstRtspServer.RTSPMediaFactory.new()
    factory.set_launch(PIPELINE)
    factory.set_shared(True)
    server.get_mount_points().add_factory("/test", factory)
    server.attach(None)
    print("ready", flush=True)  # noqa: T201
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
