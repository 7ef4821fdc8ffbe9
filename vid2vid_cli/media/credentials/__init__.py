"""Content credentials: what an output was made from and how, signed as the C2PA specification says."""
