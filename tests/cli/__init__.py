"""The command line: what it says, what it writes, how it ends."""
