"""Snapshots of what nodes give, as JSON that a reviewer can read."""

import json
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_jsonable_python
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode


class NodeOutputExtension(SingleFileSnapshotExtension):
    """One JSON file for each output: sorted keys, only the fields that the node set."""

    file_extension = "json"
    _write_mode = WriteMode.TEXT

    # Any: whatever a test compares; the settings are syrupy's own.
    def serialize(self, data: Any, **settings: Any) -> str:
        """Return the output as indented JSON."""
        is_model = isinstance(data, BaseModel)
        plain = data.model_dump(mode="json", exclude_unset=True) if is_model else to_jsonable_python(data)
        return json.dumps(plain, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
