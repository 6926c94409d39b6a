"""The names of VOLTTRON's documents that we accept and do not use, and its other names for what we do use."""

from __future__ import annotations

from collections.abc import Mapping

ALIASES: Mapping[str, str] = {"remote_config": "driver_config", "polling_interval": "interval"}
"""The names of VOLTTRON's second driver generation."""

KEYS: Mapping[str, str] = {
    "campus": "",
    "building": "",
    "unit": "",
    "path": "",
    "group": "",
    "proxy_address": "",
    "ping_retry_interval": "",
    "active": "",
    "reservation_required_for_write": "lease_required",
    "allow_duplicate_remotes": "",
    "debug": "",
    "stale_timeout": "",
    "stale_timeout_multiplier": "",
    "all_publish_interval": "",
    "strict_all_publishes": "",
    "publish_single_depth": "publish_depth_first",
    "publish_single_breadth": "",
    "publish_multi_depth": "",
    "publish_multi_breadth": "",
    "publish_all_depth": "publish_depth_first_all",
    "publish_all_breadth": "",
}
"""Keys of a device config that are accepted with a warning, each with what to use instead."""

DRIVER_KEYS: Mapping[str, str] = {
    "campus": "",
    "building": "",
    "unit": "",
    "path": "",
    "group": "",
    "proxy_address": "",
    "ping_retry_interval": "",
    "proxy_group": "",
    "registration_timeout": "",
    "reply_timeout": "",
    "allow_duplicate_remotes": "",
    "debug": "",
    "name": "",
    "device_type": "",
}
"""The same inside ``driver_config``, unless the driver knows them."""

COLUMNS = frozenset(
    {
        "reference point name",
        "volttron point name",
        "point name",
        "units",
        "units details",
        "unit details",
        "writable",
        "notes",
        "description",
        "default value",
        "default",
        "starting value",
        "modbus register",
        "point address",
        "mixed endian",
        "register name",
        "address",
        "type",
        "transform",
        "table",
        "mixed",
        "precision",
        "bacnet object type",
        "property",
        "index",
        "write priority",
        "cov flag",
        "array index",
        "obix point name",
        "obix type",
        "group",
        "variation",
        "entity id",
        "entity point",
        "data type",
        "data source",
        "count",
        "word order",
        "string encoding",
        "active",
        "polling_interval",
    }
)
"""The columns of all its drivers, in lower case: one that a driver of ours does not have is never a misspelling."""
