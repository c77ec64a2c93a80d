"""NDIF's API with keys from a JSON file instead of a database: ``{key: [tag, …]}``.

NDIF's own checks run on these keys. The code of a key with the tag ``trusted`` runs beside the model, that of others in
a sandbox.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from uuid import UUID

from ndif.common.providers.postgres import PostgresProvider
from ndif.services.api.app import app as app

KEYS: dict[str, list[str]] = json.loads(Path(os.environ["NDIF_KEYS_FILE"]).read_text(encoding="utf-8"))


async def _rows_of(query: str, key: UUID) -> list[dict[str, Any]]:
    """The database's answer: a row for each tag of the key, or one row without a tag."""
    del query
    owner = {"user_id": "1", "email": "reader@example.org"}
    tags: list[Any] = KEYS[str(key)] or [None] if str(key) in KEYS else []
    return [{**owner, "user_tag": tag} for tag in tags]


PostgresProvider.url = "keys from a file"  # not empty: keys are checked
PostgresProvider.fetch = _rows_of
