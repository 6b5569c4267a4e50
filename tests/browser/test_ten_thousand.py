"""Ten thousand episodes in one page: it stays small, its list answers, and any episode opens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import evals.site
from evals.scoring import episode_row
from tests.browser.page import Page
from tests.evals import board_entries

LIMIT_BYTES = 20_000_000
PLAYED, COPIES = 250, 20


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of 10,000 rows: 250 games played by two players, and each again as 19 other tasks.

    Copies lie apart in the page by more than deflate looks back, so that it is as large as if all had been played.
    """
    folder = tmp_path_factory.mktemp("many")
    entries, files = list[dict[str, Any]](), dict[str, Path]()
    for player in ("random", "expert"):
        panel, found = board_entries.played(player, PLAYED)
        rows = [episode_row(episode, temperature=None) for episode in found]
        copies = [row | {"task": f"{row['task']}/{copy}"} for copy in range(COPIES) for row in rows]
        files[str(len(entries))] = folder / f"{player}.jsonl"
        files[str(len(entries))].write_text("".join(json.dumps(row) + "\n" for row in copies), encoding="utf-8")
        entries.append(board_entries.entry(player, player, panel, found))
    return evals.site.build(entries, files, folder)


def test_it_is_under_twenty_megabytes(index: Path):
    assert index.stat().st_size < LIMIT_BYTES
    rows = sum(path.stat().st_size for path in index.parent.glob("*.jsonl"))
    assert rows > 2 * LIMIT_BYTES


def test_lists_filters_and_opens(page: Page, index: Path):
    page.open(index, "#episodes")
    assert page.text("#episode-count").startswith("10,000 of 10,000 episodes, ")
    # A page of rows at a time, however many there are.
    assert len(page.texts("#episode-table tbody tr")) == 50
    page.click("#episode-pager button:last-child")
    assert page.text("#episode-pager span") == "page 2 of 200"
    page.find("#episode-filters select[name=source]").send_keys("expert")
    assert page.text("#episode-count").startswith("5,000 of 10,000")
    page.find("#episode-filters input").send_keys("/19")
    (count,) = [int(text.partition(" ")[0].replace(",", "")) for text in page.texts("#episode-count")]
    assert count >= PLAYED
    page.open(index, "#episode=9999")
    assert page.view() == "episode"
    assert len(page.texts(".turn")) > 0
