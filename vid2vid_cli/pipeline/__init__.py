"""Options in, files out: what the commands do, usable from Python too."""
