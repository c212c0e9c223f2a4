"""Where a sweep runs: one kind of cluster in each file."""
