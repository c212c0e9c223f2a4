"""Trained models to take away: which one, in which format, checked against what is recorded, with a card that says what it is."""
