"""``gateway pull`` and ``gateway push``: all configurations of a broker to a directory of files, and back."""
