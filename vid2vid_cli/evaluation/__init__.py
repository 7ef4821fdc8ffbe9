"""Measure how well a checkpoint reenacts: on itself, on strangers, and turned."""
