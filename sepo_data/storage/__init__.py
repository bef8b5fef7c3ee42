"""Files here and in object stores: locations, atomic writes, locks, downloads, cached facts, hashes."""
