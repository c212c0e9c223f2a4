"""Architectures: one family a file, plain Keras 3, made of the building blocks in `architectures._blocks`."""
