"""What a study says, in words: which architecture to choose, how surely, and what would settle the rest."""
