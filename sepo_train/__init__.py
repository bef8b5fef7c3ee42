"""Models: load them, per-token log-probabilities, the oracle, scoring, losses and training."""
