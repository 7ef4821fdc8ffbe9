"""A portrait driven live by a camera: what comes in, the loop between, what goes out."""
