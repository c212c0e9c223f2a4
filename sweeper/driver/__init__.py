"""Who runs a study: opens it, starts Ray, drives Ray Tune, keeps what is needed of its checkpoints."""
