"""``gateway scan``: what is on a Modbus link, and a config and registry to start from.

``line`` asks, ``units`` finds who answers, ``ranges`` finds what can be read (pure), ``identity`` asks for names; ``chain``,
``models`` and ``points`` are for SunSpec devices.
"""
