"""Refusals of columns, with what to type next."""
