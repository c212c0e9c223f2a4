"""Search spaces: one `Space` in each file, pure data."""
