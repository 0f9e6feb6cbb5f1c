"""Averages, resampling and significance."""
