"""What happened: the append-only log of a study in Parquet, its lock, and the tables derived from it."""
