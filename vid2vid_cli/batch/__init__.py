"""Many jobs at once: which they are, which process does each, and how it ended."""
