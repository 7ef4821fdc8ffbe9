"""The commands of vid2vid weights: what is there, fetch it, convert it."""
