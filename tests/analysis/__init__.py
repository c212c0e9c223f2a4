"""Statistics, verdicts and the chance of being the best."""
