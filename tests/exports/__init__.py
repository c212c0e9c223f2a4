"""What is exported for other tools, read back by these tools. Their libraries are extras: ``make test-exports`` installs them."""
