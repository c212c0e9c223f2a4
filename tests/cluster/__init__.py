"""Kinds of cluster that studies are submitted to."""
