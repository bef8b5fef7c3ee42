"""Training: losses, objectives, the trainer, the oracle and the policy. The place to add a loss."""
