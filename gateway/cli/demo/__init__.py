"""``gateway demo``: a broker, simulated devices and the gateway, all of it gone when it ends."""
