"""Tests of whole systems: clusters of hosts that are namespaces of this machine."""
