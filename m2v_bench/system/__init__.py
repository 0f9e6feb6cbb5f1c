"""Operating system, process and installed environment."""
