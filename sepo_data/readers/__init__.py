"""Read any dataset, in any file format, as numbered rows."""
