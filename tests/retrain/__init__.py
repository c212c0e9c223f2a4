"""Recorded trials are trained again; every difference from the record is found and explained."""
