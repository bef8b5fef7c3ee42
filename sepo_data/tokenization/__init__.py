"""Preference pairs to token ids: chat templates, the prompt boundary, truncation."""
