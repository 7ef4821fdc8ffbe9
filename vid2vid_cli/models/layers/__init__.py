"""Layers that several families share, written to be read alongside their papers."""
