"""Architectures: one family a file, plain Keras 3."""
