"""Metrics: KL divergence, preference, win rate, means with their errors. Pure functions."""
