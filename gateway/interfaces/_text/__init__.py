"""What the driver ``serial`` is made of."""
