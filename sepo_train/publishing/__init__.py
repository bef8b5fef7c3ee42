"""Model cards, training curves, and the upload of a model."""
