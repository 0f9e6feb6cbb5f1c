"""Run one experiment, a sweep of them, or a search."""
