"""SQL in plain English: the errors of the query engine as a person can act on them."""
