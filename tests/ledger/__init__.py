"""The ledger, its lock, and the tables derived from it."""
