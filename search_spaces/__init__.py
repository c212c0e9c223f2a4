"""Search spaces: one `Space` value a file, pure data."""
