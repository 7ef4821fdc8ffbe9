"""Refuse to begin where the libraries have no room: torch crashes or hangs halfway through its import."""

from __future__ import annotations

from vid2vid_cli.errors import Vid2VidError

NEEDED_BYTES = 2 << 30
"""Of addresses, not of memory: libraries reserve far more than they use."""


class AddressSpaceError(Vid2VidError):
    """A limit on the address space that is too low."""


def require_address_space() -> None:
    """Raise AddressSpaceError if a limit (ulimit -v) is too low for torch and numba."""
    try:
        import resource
    except ImportError:  # Windows has no such limits
        return
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY and limit < NEEDED_BYTES:
        given, needed = limit / 2**20, NEEDED_BYTES / 2**20
        raise AddressSpaceError(
            f"the address space is limited to {given:.0f} MB, and vid2vid needs {needed:.0f}; raise it: ulimit -v"
        )
