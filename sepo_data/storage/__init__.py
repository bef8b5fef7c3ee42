"""Local files and object stores: locations, atomic writes, locks, downloads, cached facts, hashes."""
