"""What is on disk: the Arrow schema of each stage dataset, and the manifest beside it."""
