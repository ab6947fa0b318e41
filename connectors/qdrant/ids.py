"""Ids on Qdrant: unsigned 64-bit integers or UUIDs; any other key becomes a UUID and is kept in the payload."""

import uuid

from cohorts.connectors.collection import OUR_PREFIX

KEY_FIELD = OUR_PREFIX + "id"
_NAMESPACE = uuid.UUID("5b1c8f0e-6f0c-4c55-9a43-6d2b6a3f5a0e")


def to_point_id(key: str) -> int | str:
    """Return the engine's id of a key: 10006 stays a number, a UUID stays itself, the rest is hashed (uuid5)."""
    if key.isascii() and key.isdecimal() and str(int(key)) == key and int(key) < 2**64:
        return int(key)
    if _is_canonical_uuid(key):
        return key
    return str(uuid.uuid5(_NAMESPACE, key))


def is_hashed(key: str, point_id: int | str) -> bool:
    """Tell whether the key can't be read back from its id."""
    return isinstance(point_id, str) and point_id != key


def _is_canonical_uuid(key: str) -> bool:
    try:
        return str(uuid.UUID(key)) == key
    except ValueError:
        return False
