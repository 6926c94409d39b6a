"""An MQTT-native edge gateway: field devices on MQTT, with the broker as the only bus."""

__version__ = "0.1.0"

CONTRACT = 1
"""Version of the topics, payloads and codes; it changes only when a client would have to."""
