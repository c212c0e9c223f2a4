"""Models are written to files, and read where this package is not."""
