"""Layers that several families share, written to be read beside their papers."""
