"""Checkpoint families and how they are loaded."""
