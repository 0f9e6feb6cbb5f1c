"""Settings: schema, composition by Hydra, checks and error messages."""
