"""Tests of the package, one file a subject; what they share lies in `tests.support`."""
