"""``gateway import``: register maps that people own already become device configs and registries.

``model`` is what a converter gives, ``thingsboard`` and ``telegraf`` are converters (pure), ``documents`` makes the files.
"""
