"""The process itself: threads between stages, unfinished files, and how a signal ends it all."""
