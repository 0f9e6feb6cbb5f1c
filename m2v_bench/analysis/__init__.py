"""Tables and plots from what runs wrote. Knows only files and rows; never runs a model."""
