"""Calls: a driving as a stream of a few bytes a frame, what is in one, and its picture at the other end."""
