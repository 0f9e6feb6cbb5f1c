"""Scoring models with mteb and measuring their speed. Knows nothing of how a model was made."""
