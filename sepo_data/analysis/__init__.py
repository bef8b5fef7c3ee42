"""Analysis of a dataset: check, info, show, query, diff."""
