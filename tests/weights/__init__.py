"""Trials that begin with weights of ImageNet; most of it is tried with a network in miniature and a file of random weights."""
