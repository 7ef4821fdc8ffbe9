"""The paper's networks as the public unofficial checkpoints of face-vid2vid have them, and SadTalker's copy of them."""
