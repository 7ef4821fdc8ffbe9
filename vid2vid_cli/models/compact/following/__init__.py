"""What the mesh misses of a driving's movement, measured by optical flow against its first frame."""
