"""Evaluation: a model on held-out pairs and on prompts, beside another one."""
