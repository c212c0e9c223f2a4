"""Architectures: a conformance kit over all files, the published networks, and what is particular to each family."""
