"""The Model2Vec paper: published numbers, findings and how to reproduce them."""
