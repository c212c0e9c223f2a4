"""What a study says in words: the answer, its sections, its page."""
