"""Tables: read preferences, tokenize, write and scan stage datasets, select and show. Never imports torch."""
