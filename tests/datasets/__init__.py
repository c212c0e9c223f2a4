"""Datasets: what they give, and what they say of bad input."""
