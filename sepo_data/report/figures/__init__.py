"""The figures: each registers itself where it stands, and a new file is found. The place to add a figure."""
