"""The speed benchmark."""
