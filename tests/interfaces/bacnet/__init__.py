"""BACnet: the codec, the stack in its child process, and devices to try them on."""
