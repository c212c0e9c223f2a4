"""Where a sweep runs: one kind of cluster a file."""
