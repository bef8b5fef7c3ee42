"""Shapes: a row becomes preference pairs, or a reason why it is skipped. The place to add a dataset shape."""
