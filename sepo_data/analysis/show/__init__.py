"""Pairs to look at in a terminal: which ones in which order, token by token, paged through by keys."""
