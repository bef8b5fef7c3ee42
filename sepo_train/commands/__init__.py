"""Commands that load a tokenizer or a model, one file each."""
