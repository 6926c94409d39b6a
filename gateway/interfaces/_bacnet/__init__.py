"""BACnet: the network in a child process of its own (``network``), and what the ``bacnet`` driver makes of it."""
