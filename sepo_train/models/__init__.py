"""Models: load them and their tokenizers, and record which ones they were."""
