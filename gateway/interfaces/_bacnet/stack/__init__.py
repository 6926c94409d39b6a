"""The child process that holds the BACnet stack; it knows the libraries, the rest of the gateway does not."""
