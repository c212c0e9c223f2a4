"""What both doors share, the command line and Python: a stored study found, its results, where it stands, how it goes."""
