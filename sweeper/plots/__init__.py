"""Plots: one file each, a frame and a drawing of it."""
