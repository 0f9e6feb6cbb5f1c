"""Input files of a run: downloaded assets, users' tables, dataset folders."""
