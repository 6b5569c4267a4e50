"""Ways to break a valid file: its bytes, its lines, the values of the JSON in it, or what a database holds."""

from __future__ import annotations

import json
import math
import os
import pickle
import sqlite3
from contextlib import closing, suppress
from typing import Any

from hypothesis import strategies as st

# What `json.dumps` cannot write stands in the tree by name and is put in afterwards.
_SPLICED = {
    "@deep@": "[" * 4000 + "]" * 4000,
    "@deep objects@": '{"a":' * 4000 + "1" + "}" * 4000,
    "@many digits@": "9" * 5000,
    "@many lists@": "[" + ",".join(["[]"] * 20000) + "]",
}
PICKLED = pickle.dumps(os.getcwd)
"""Of a function, which whoever unpickles it must look up. Nothing is called."""
# What a database may declare in the place of a table, or beside it.
_DECLARED = (
    "DROP TABLE {table}",
    "ALTER TABLE {table} RENAME TO other",
    "ALTER TABLE {table} DROP COLUMN {column}",
    "ALTER TABLE {table} ADD COLUMN {column}2 TEXT GENERATED ALWAYS AS (hex(zeroblob(100000000)))",
    "CREATE TABLE other (name TEXT)",
    "CREATE VIEW other AS SELECT * FROM {table}",
    "CREATE TRIGGER other AFTER INSERT ON {table} BEGIN DELETE FROM {table}; END",
    "DROP TABLE {table}; CREATE VIEW {table} AS WITH RECURSIVE endless(number, key, content, added, episodes) AS"
    " (VALUES (1, '', '', '', '') UNION ALL SELECT number + 1, '', '', '', '' FROM endless) SELECT * FROM endless",
    "PRAGMA user_version = -1",
    "PRAGMA user_version = 0",
    "PRAGMA user_version = 99",
    "PRAGMA application_id = 7",
)
STRANGE: tuple[Any, ...] = (
    *_SPLICED,
    None,
    True,
    0,
    -1,
    0.5,
    2**63,
    2**70,
    -(2**31),
    1e308,
    math.nan,
    math.inf,
    "",
    " ",
    "\0",
    "\n\n",
    "\ud800",
    "\u202e\x1b[31m",
    "nan",
    "x" * 100_000,
    "../../escaped",
    "/tmp/keystone-fuzz-escaped",
    "~/escaped",
    "a/b\\..\\c",
    "${oc.env:HOME}",
    "{{ 7 * 7 }}",
    "__import__('os').mkdir('escaped')",
    [],
    {},
    [[]],
    [None],
    {"": ""},
    ["x"] * 1000,
)


def mutated(content: bytes, name: str) -> st.SearchStrategy[bytes]:
    """Broken forms of a file's content.

    Args:
        content: the valid content.
        name: the file's name, whose ending says what is in it.
    """
    ways = [_bytes(content), _bytes(content)]
    if name.endswith((".json", ".tw-pddl")):
        ways += [_json(content)] * 4
    elif name.endswith(".safetensors"):
        ways += [_header(content)] * 4
    elif name.endswith(".sqlite"):
        ways += [_database(content)] * 4
    elif name.endswith((".jsonl", ".txt", ".yaml", ".tsv", ".md")):
        ways += [_lines(content, as_json=name.endswith(".jsonl"))] * 4
    return st.one_of(ways)


@st.composite
def _bytes(draw: st.DrawFn, content: bytes) -> bytes:
    """Cuts, flips, repeats or inserts bytes."""
    place = draw(st.integers(0, len(content)))
    end = min(place + draw(st.integers(0, 64)), len(content))
    way = draw(st.sampled_from(["cut", "flip", "drop", "insert", "overwrite", "repeat", "many", "other"]))
    if way == "cut":
        return content[:place]
    if way == "flip":
        flipped = bytes(byte ^ (1 << draw(st.integers(0, 7))) for byte in content[place : place + 2])
        return content[:place] + flipped + content[place + 2 :]
    if way == "drop":
        return content[:place] + content[end:]
    if way == "repeat":
        return content[:end] + content[place:]
    if way == "many":
        return content * draw(st.sampled_from([2, 50]))
    if way == "other":
        others = [b"", b"\0" * 4096, b"\xff\xfe", b"\xef\xbb\xbf" + content, b"null", b"[]", b"{}", PICKLED]
        return draw(st.sampled_from(others))
    put = draw(st.binary(max_size=20) | st.sampled_from([b"\0", b"\xff", b"\r", b'"', b"{", b"&a [*a]"]))
    return content[:place] + put + content[end if way == "overwrite" else place :]


@st.composite
def _json(draw: st.DrawFn, content: bytes) -> bytes:
    """Changes a value somewhere in a JSON text."""
    return _written(_changed(draw, json.loads(content)))


@st.composite
def _lines(draw: st.DrawFn, content: bytes, *, as_json: bool) -> bytes:
    """Drops, repeats, swaps or changes a line."""
    lines = content.split(b"\n")
    place = draw(st.integers(0, max(len(lines) - 1, 0)))
    way = draw(st.sampled_from(["drop", "repeat", "word", "word", "word", "swap"]))
    if way == "drop":
        del lines[place]
    elif way == "repeat":
        lines[place:place] = [lines[place]] * draw(st.sampled_from([1, 1000]))
    elif way == "swap":
        lines.insert(0, lines.pop(place))
    elif as_json and lines[place].startswith(b"{"):
        lines[place] = _written(_changed(draw, json.loads(lines[place])))
    else:
        head, colon, _ = lines[place].partition(b":")
        value = _written(draw(st.sampled_from(STRANGE)))
        lines[place] = head + colon + b" " + value if colon and draw(st.booleans()) else value
    return b"\n".join(lines)


@st.composite
def _header(draw: st.DrawFn, content: bytes) -> bytes:
    """Changes a value in the header of a safetensors file, or in the JSON that its metadata hold."""
    length = int.from_bytes(content[:8], "little")
    header, rest = json.loads(content[8 : 8 + length]), content[8 + length :]
    metadata = header.get("__metadata__", {})
    if metadata and draw(st.booleans()):
        name = draw(st.sampled_from(sorted(metadata)))
        try:
            held = json.loads(metadata[name])
        except ValueError:  # a hash, say
            held = metadata[name]
        metadata[name] = _written(_changed(draw, held)).decode("utf-8", "surrogatepass")
    else:
        header = _changed(draw, header)
    written = _written(header)
    said = draw(st.sampled_from([len(written), len(written), len(written), 0, 2**40]))
    return said.to_bytes(8, "little") + written + rest


@st.composite
def _database(draw: st.DrawFn, content: bytes) -> bytes:
    """Changes a value in an SQLite file, or what it declares."""
    with closing(sqlite3.connect(":memory:")) as made:
        # In memory there is no log that is written ahead; the two bytes that say so are put back.
        made.deserialize(content[:18] + b"\1\1" + content[20:])
        (table,) = draw(st.sampled_from(made.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()))
        columns = [row[1] for row in made.execute(f"PRAGMA table_info({table})")]
        place, column = draw(st.integers(0, 3)), draw(st.sampled_from(columns))
        row = made.execute(f"SELECT rowid, {column} FROM {table} LIMIT 1 OFFSET ?", (place,)).fetchone()
        # What SQLite itself refuses is no change.
        with suppress(OverflowError, UnicodeEncodeError, sqlite3.Error):
            if row is None:
                made.executescript(draw(st.sampled_from(_DECLARED)).format(table=table, column=column))
            else:
                value = _of_column(draw, row[1])
                made.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (value, row[0]))
        made.commit()
        found = made.serialize()
    return found[:18] + content[18:20] + found[20:]


def _of_column(draw: st.DrawFn, value: Any) -> Any:
    """A value of a database that another one is to take the place of."""
    if isinstance(value, str) and value.startswith("{") and draw(st.integers(0, 3)):
        return _written(_changed(draw, json.loads(value))).decode("utf-8", "surrogatepass")
    strange = draw(st.sampled_from(STRANGE))
    return strange if isinstance(strange, str | int | float | None) else _written(strange)


def _changed(draw: st.DrawFn, tree: Any) -> Any:
    """Replaces, drops, adds or renames one thing at a random place of a tree."""
    holders = list(_holders(tree))
    if not holders or draw(st.integers(0, 19)) == 0:
        return draw(st.sampled_from(STRANGE))
    holder = draw(st.sampled_from(holders))
    strange = draw(st.sampled_from(STRANGE))
    if isinstance(holder, dict):
        key = draw(st.sampled_from(sorted(holder)))
        way = draw(st.sampled_from(["replace", "replace", "replace", "drop", "add", "rename"]))
        if way == "replace":
            holder[key] = strange
        elif way == "add":
            holder[draw(st.sampled_from(["x", "../x", "__class__", "", key.upper()]))] = strange
        else:
            value = holder.pop(key)
            if way == "rename":
                holder[draw(st.sampled_from([f"{key} ", "../escaped", "9" * 50, "x" * 300, ""]))] = value
    else:
        place = draw(st.integers(0, len(holder) - 1))
        way = draw(st.sampled_from(["replace", "replace", "drop", "repeat"]))
        if way == "replace":
            holder[place] = strange
        elif way == "drop":
            del holder[place]
        else:
            holder[place:place] = [holder[place]] * draw(st.sampled_from([1, 100]))
    return tree


def _holders(tree: Any) -> Any:
    """All objects and lists with something in them."""
    if isinstance(tree, dict | list) and tree:
        yield tree
        for value in tree.values() if isinstance(tree, dict) else tree:
            yield from _holders(value)


def _written(tree: Any) -> bytes:
    text = json.dumps(tree)
    for name, spliced in _SPLICED.items():
        text = text.replace(json.dumps(name), spliced)
    return text.encode("utf-8")
