"""Context among the columns that no shape reads: it is found by names and by texts, and never left out unseen."""
