"""What is read from the broker on each connection, and in which order; all of it on the manager's thread."""
