"""Scoring: a reward for every response token of a preference dataset."""
