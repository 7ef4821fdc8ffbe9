"""From the sound of speech to the mouth that speaks it, frame by frame."""
