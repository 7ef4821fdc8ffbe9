"""Dubbing: other words under the same person, by another sound or by editing what was said."""
