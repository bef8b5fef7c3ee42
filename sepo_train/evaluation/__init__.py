"""Evaluation: a model on holdout pairs and on prompts, beside another one."""
