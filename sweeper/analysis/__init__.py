"""Frames in, frames out: what the figures and reports are computed from."""
