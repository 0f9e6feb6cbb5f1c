"""The verbs of the console script, one short function each over a module of its own."""
