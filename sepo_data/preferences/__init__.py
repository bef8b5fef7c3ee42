"""The stream of preference pairs: read, mixed, shuffled, deduplicated, held out."""
