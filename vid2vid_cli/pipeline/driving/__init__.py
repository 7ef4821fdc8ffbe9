"""What drives: one file for each kind of driving, and `opening.py`, which finds the kind that fits a file."""
