"""Level files: Boxoban's own, other collections, and broken ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from envs.errors import InputError
from envs.sokoban.board import drawn
from envs.sokoban.files import LevelFiles, levels_of

GOOD = "######\n#@$ .#\n######\n"


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("name", "count"), [("unfiltered_test_000.txt", 1000), ("medium_valid_000.txt", 1000), ("hard_003.txt", 332)]
)
def test_published_files_are_drawn_as_they_are_written(real_data: Path, name: str, count: int):
    path = real_data / "sokoban" / name
    levels = levels_of(path)
    assert len(levels) == count
    rows = [line for line in path.read_text().splitlines() if line.startswith("#")]
    assert [row for level in levels for row in drawn(level, level.boxes, level.player)] == rows


def test_a_folder_of_published_files_has_its_splits(real_data: Path):
    folder = str(real_data / "sokoban")
    counts = {split: LevelFiles(folder, split).count for split in ("train", "valid", "test")}
    assert sum(counts.values()) == 2332
    assert counts["valid"] > 1000
    assert counts["test"] > 1000
    assert 240 < counts["train"] < 300


def test_folders_name_splits(tmp_path: Path):
    written(tmp_path, "unfiltered/train/000.txt", GOOD + "; 1\n" + GOOD)
    written(tmp_path, "unfiltered/test/000.txt", GOOD)
    written(tmp_path, "README.txt", "Levels by nobody, nobody@example.org\n")
    train = LevelFiles(str(tmp_path), "train")
    assert [train.name(position) for position in range(train.count)] == [
        "unfiltered/train/000.txt#0",
        "unfiltered/train/000.txt#1",
    ]
    assert train.level("unfiltered/test/000.txt#0").boxes.bit_count() == 1
    with pytest.raises(InputError, match=r"no levels of the split 'valid'.*give split=test"):
        LevelFiles(str(tmp_path), "valid")


def test_one_file_in_a_folder_of_its_split(tmp_path: Path):
    path = written(tmp_path, "test/000.txt", GOOD)
    assert LevelFiles(str(path), "test").count == 1


def test_comments_are_not_counted(tmp_path: Path):
    path = written(tmp_path, "train.txt", f"; by a@b.c + d@e.f\n{GOOD}\n; end\n\n{GOOD}")
    assert LevelFiles(str(path), "train").count == 2


def test_levels_of_other_files_are_divided(tmp_path: Path):
    text = "\n".join(f"{'#' * (width + 6)}\n#@$ .{' ' * width}#\n{'#' * (width + 6)}\n" for width in range(100))
    path = str(written(tmp_path, "mine.txt", text))
    splits = {split: LevelFiles(path, split) for split in ("train", "valid", "test")}
    names = [files.name(position) for files in splits.values() for position in range(files.count)]
    assert sorted(names) == sorted({f"mine.txt#{number}" for number in range(100)})
    assert splits["train"].count > 60


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("######\n#@$$.#\n######\n", r"broken.txt, level 0 \(line 1\): it has 2 boxes and 1 targets"),
        (GOOD + "\n; 1\n######\n#@$x.#\n######\n", r"broken.txt, level 1 \(line 6\): row 2 has the unknown symbol 'x'"),
        (GOOD + "a level without walls\n", "line 4: 'a level without walls' is neither a row"),
        ("", "has no levels of the split"),
    ],
)
def test_broken_files_give_one_line(tmp_path: Path, text: str, reason: str):
    path = written(tmp_path, "broken.txt", text)
    with pytest.raises(InputError, match=reason):
        LevelFiles(str(path), "train")


def test_a_missing_file_gives_one_line(tmp_path: Path):
    with pytest.raises(InputError, match="no file or folder of levels"):
        LevelFiles(str(tmp_path / "none.txt"), "train")
    with pytest.raises(InputError, match="has no level files"):
        LevelFiles(str(tmp_path), "train")
    broken = written(tmp_path, "image.txt", "")
    broken.write_bytes(b"\xff\xfe\n" + GOOD.encode())
    with pytest.raises(InputError, match="is not UTF-8 text"):
        LevelFiles(str(tmp_path), "train")
    with broken.open("wb") as file:
        file.write(GOOD.encode())
        file.truncate((1 << 28) + 1)
    with pytest.raises(InputError, match="it has more than 268,435,456 bytes"):
        LevelFiles(str(tmp_path), "train")


def test_a_licence_in_any_encoding_lies_beside_levels(tmp_path: Path):
    written(tmp_path, "train.txt", GOOD)
    (tmp_path / "LICENSE.txt").write_bytes("© Müller, # 1\n".encode("latin-1"))
    assert LevelFiles(str(tmp_path), "train").count == 1


def test_a_file_that_vanishes_gives_one_line(tmp_path: Path):
    path = written(tmp_path, "train.txt", GOOD)
    levels = LevelFiles(str(path), "train")
    path.unlink()
    with pytest.raises(InputError, match=r"cannot read the level file .*: No such file or directory"):
        levels.level(levels.name(0))


@pytest.mark.parametrize("name", ["", "train.txt", "train.txt#1", "train.txt#-1", "../train.txt#0", "other.txt#0"])
def test_unknown_levels_are_refused(tmp_path: Path, name: str):
    path = written(tmp_path, "train.txt", GOOD)
    with pytest.raises(InputError):
        LevelFiles(str(path), "train").level(name)
