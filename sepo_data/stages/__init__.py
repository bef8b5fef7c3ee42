"""Stage directories on disk: the manifest, the writer, the scan, the rewards table, the lineage."""
