"""Commands that ask running gateways over the broker, as any MQTT 5 client could."""
