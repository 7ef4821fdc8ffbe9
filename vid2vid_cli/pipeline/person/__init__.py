"""A person from many pictures: reading, choosing and keeping views."""
