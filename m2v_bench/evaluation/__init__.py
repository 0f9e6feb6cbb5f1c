"""Score models with mteb, independently of how they were made."""
