"""The audit: every kind of damage, made on purpose, is found; whatever a kill leaves is no damage."""
