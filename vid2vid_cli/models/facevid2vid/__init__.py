"""The networks of face-vid2vid as in its public unofficial checkpoints, and SadTalker's copy of them."""
