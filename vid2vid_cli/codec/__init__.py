"""The call codec: motion as a stream of packets of some tens of bytes. docs/bitstream.md is its specification."""
