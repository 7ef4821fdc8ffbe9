"""Many jobs at once: which they are, who does them, and what became of each."""
