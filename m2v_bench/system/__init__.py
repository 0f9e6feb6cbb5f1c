"""Operating system, processes and the installed environment."""
