"""Weights of ImageNet: which arms begin with them, where the files come from, how they are carried over."""
