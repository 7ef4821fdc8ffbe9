"""Cameras that other programs see and that we fill: video devices of Linux, and pyvirtualcam where a user has it."""
