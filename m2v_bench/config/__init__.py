"""Settings: schema, Hydra composition, checks and error messages."""
