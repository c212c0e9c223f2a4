"""A user's own code beside a study."""
