"""The worker's side: build, train, measure and checkpoint one trial."""
