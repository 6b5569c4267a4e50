"""What errors of others say, put into one line."""

from __future__ import annotations

import pytest

from envs.errors import first_line, is_out_of_memory


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError(" \n first \n second"), "first"),
        (ValueError("field 'a':\n    it is no number\nsee below"), "field 'a': it is no number"),
        (ValueError("field 'a':"), "field 'a':"),
        (ValueError(), "ValueError"),
        (KeyError("name"), "'name'"),
        (RuntimeError("\n"), "RuntimeError"),
    ],
)
def test_the_first_line(error: Exception, line: str):
    assert first_line(error) == line


def test_memory():
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory"))
    assert is_out_of_memory(RuntimeError("CUDA out of memory. Tried to allocate"))
    assert not is_out_of_memory(RuntimeError("shapes differ"))
    assert not is_out_of_memory(ValueError("out of memory"))
