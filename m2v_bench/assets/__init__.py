"""Files that runs read: downloaded assets, users' tables, dataset folders."""
