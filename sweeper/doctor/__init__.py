"""Would a sweep run here, and if not, what is to be done? Each file checks one side of that and gives findings."""
