"""What an earlier Run has done already: its shards by what they depend on, whatever their place in its plan.

A shard's key names the file, its identity (LFS sha256, or size and time), the rows and the options, but no revision:
so a Run of another revision has the shards of all files that are the same in both.
"""

from __future__ import annotations

from scanner.run import Run
from scanner.shards import Shard, ShardFolder, key_of
from scanner.storage import open_folder


class EarlierRun:
    """The shards of the Run at ``location``, finished or not. Raises RunError where there is none."""

    def __init__(self, location: str) -> None:
        self.location = Run(location).location
        self._shards = ShardFolder(open_folder(location))
        keys = ((key_of(self._shards.read_encoded(unit)), unit) for unit in self._shards.units())
        self._units = {key: unit for key, unit in keys if key is not None}

    def find(self, key: str) -> Shard | None:
        """The shard made under ``key``, where there is a sound one."""
        unit = self._units.get(key)
        return self._shards.read(unit, key) if unit is not None else None
