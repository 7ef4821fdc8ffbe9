"""A stream that is still arriving: packets as soon as their last byte is there."""

from __future__ import annotations

from collections.abc import Iterator

from vid2vid_cli.codec.header import StreamHeader, can_tell, is_call, read_header
from vid2vid_cli.codec.packets import CHECK_BYTES, LONGEST_PACKET, Damage, Packet, read_packets
from vid2vid_cli.codec.stream import Tally
from vid2vid_cli.errors import CallFileError


class IncomingStream:
    """Splits the bytes of a stream into packets as they arrive, in parts of any size. Holds back one packet at most.

    header: None until all of it has arrived.
    """

    def __init__(self, tally: Tally) -> None:
        """Start before the header. tally: counts packets and damaged bytes."""
        self.header: StreamHeader | None = None
        self._tally = tally
        self._rest = b""
        self._seed = 0

    def take(self, part: bytes) -> Iterator[Packet]:
        """Yield the packets that a part completes. CallFileError for a header that cannot be read.

        Bytes that are not a packet may be the beginning of one. They are given up once a whole packet follows, or once
        they are more than the longest packet.
        """
        self._rest += part
        if self.header is None and not self._read_header():
            return
        data, self._rest = self._rest, b""
        known = 0
        for met, end in read_packets(data, 0, self._seed):
            # At the very end it may be a packet whose rest has not come yet.
            if isinstance(met, Damage) and end == len(data):
                break
            self._tally.meet(met, end - known)
            known = end
            if not isinstance(met, Damage):
                yield met
        # No packet is longer, so what is older cannot be the beginning of one.
        given_up = max(0, len(data) - known - LONGEST_PACKET)
        self._tally.damaged += given_up
        self._rest = data[known + given_up :]

    def require_header(self) -> StreamHeader:
        """Return the header, which is there once a packet is."""
        if self.header is None:
            raise ValueError("the header has not come yet")
        return self.header

    def end(self) -> None:
        """Declare the end of the stream. CallFileError if not even the header arrived."""
        if self.header is None:
            raise CallFileError("the call ended within its header" if self._rest else "ended before a call began")
        self._tally.damaged += len(self._rest)
        self._rest = b""

    def _read_header(self) -> bool:
        if not can_tell(self._rest):
            return False
        if not is_call(self._rest):
            raise CallFileError("does not begin as a call of vid2vid does; a call must be read from its beginning")
        self.header, end = read_header(self._rest)
        # The header's checksum, which every packet's starts from.
        self._seed = int.from_bytes(self._rest[end - CHECK_BYTES : end], "little")
        self._rest = self._rest[end:]
        return True
