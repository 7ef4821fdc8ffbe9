"""The command `vid2vid serve`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vid2vid_cli.cli.console import Reporter, Verbosity
from vid2vid_cli.cli.failure import guarded
from vid2vid_cli.cli.options import takes_options
from vid2vid_cli.cli.signals import signals_held
from vid2vid_cli.errors import UsageError
from vid2vid_cli.serve.options import ServeOptions

if TYPE_CHECKING:
    from vid2vid_cli.serve.guard import Door


@takes_options
@guarded
def serve(*, options: ServeOptions, verbosity: Verbosity) -> int:
    """Open a page in the browser: pictures move, speak and turn there, and a camera drives them live. Also an API."""
    try:
        with signals_held():
            from vid2vid_cli.serve.server import serve as run
    except ImportError as error:
        raise UsageError(f"serve: {error.name} does not load; pip install 'vid2vid[serve]'") from error
    reporter = Reporter(verbosity)

    def announce(door: Door) -> None:
        reporter.print_result(door.address, {"address": door.address, "port": door.port, "token": door.token})
        reporter.log("note: open this address in a browser; Ctrl-C ends the server and forgets what it was sent")
        if not options.is_private and not options.is_encrypted:
            reporter.log(
                "warning: browsers give their cameras to HTTPS alone; for other machines add --certificate and --key"
            )

    run(options, announce)
    return 0
