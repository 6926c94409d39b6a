"""The parts of the Modbus driver: ``pdu`` and ``frames`` (what is on the wire), ``client``, ``codec``, ``plan``."""
