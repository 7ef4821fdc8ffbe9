"""The call codec: motion as a stream of packets of a few dozen bytes each. docs/bitstream.md specifies it."""
