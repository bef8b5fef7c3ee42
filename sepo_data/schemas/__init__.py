"""The on-disk contract: the Arrow schema of each stage dataset, and the manifest beside it."""
