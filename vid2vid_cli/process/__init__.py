"""The process itself: threads between stages, unfinished files, and a clean end on a signal."""
