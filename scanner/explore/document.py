"""A task as one JSON document for programs."""

from __future__ import annotations

import json

import msgspec

from scanner.explore.preview import preview
from scanner.task import Task


def document(task: Task) -> str:
    r"""What ``scanner show`` shows, as JSON in ASCII: whatever is in the data stands there as ``\uNNNN``."""
    return json.dumps(msgspec.to_builtins(preview(task)), indent=2).replace("\x7f", "\\u007f")
