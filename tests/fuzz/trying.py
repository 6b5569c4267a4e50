"""Breaks one file of a reader's and lets it be read."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from hypothesis import strategies as st

from tests.fuzz.mutations import mutated
from tests.fuzz.reader import Reader
from tests.fuzz.watching import read_watched


class Trial:
    """A reader with its valid files, in a folder that is laid out anew for every example.

    Args:
        reader: the reader.
        scratch: an empty folder.
    """

    def __init__(self, reader: Reader, scratch: Path) -> None:
        self.reader, self.folder, self.also = reader, scratch / "files", scratch / "also"
        self.also.mkdir()
        self.folder.mkdir()
        self.valid = reader.contents(self.folder)
        self.names = [name for name in sorted(self.valid) if reader.breaks(name)]

    def read(self, changes: Mapping[str, bytes]) -> str:
        """Reads the files with some of them changed; returns what they are refused with.

        Raises:
            FindingError: the reader did what it may not.
        """
        shutil.rmtree(self.folder)
        for name, content in {**self.valid, **changes}.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return read_watched(self.reader.read, self.folder, self.also)

    def changes(self) -> st.SearchStrategy[dict[str, bytes]]:
        """One file, broken."""

        def of(name: str) -> st.SearchStrategy[dict[str, bytes]]:
            return mutated(self.valid[name], name).map(lambda content: {name: content})

        return st.sampled_from(self.names).flatmap(of)
