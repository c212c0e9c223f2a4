"""Tests of the program from Python."""
