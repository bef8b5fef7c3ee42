"""Pairs of the report: those that the page shows, and their tokens as arrays that its script reads."""
