"""The filters of a selection: each registers itself and its option where it stands. The place to add a filter."""
