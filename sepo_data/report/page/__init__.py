"""The page of the report: its HTML, style sheet and script, and the functions that fill it."""
