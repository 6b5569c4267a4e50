"""The leaderboard's page as a file: what stands in it without its script, and what the builder refuses."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import evals.site
from envs.errors import InputError
from evals.comparison import compare as compared
from evals.findings import is_resolved
from evals.leaderboard import committed
from evals.leaderboard.ranking import clear_differences, p_values, tables
from evals.site import bench, board
from evals.site.comparing import compare, comparisons
from tests.evals import board_entries
from tests.evals.leaderboard import made

TASKS = 4


class Tables(HTMLParser):
    """The text of a page's tables, cell by cell."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.links: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("th", "td"):
            self.tables[-1][-1].append("")

    def handle_data(self, data: str) -> None:
        if self.tables and self.tables[-1] and self.tables[-1][-1]:
            self.tables[-1][-1][-1] += data


@pytest.fixture(scope="module")
def entries() -> list[dict[str, Any]]:
    made = []
    for player in ("random", "planner"):
        panel, found = board_entries.played(player, TASKS, max_turns=10)
        made.append(board_entries.entry(player, "other", panel, found))
    return made


def test_the_ranking_is_a_plain_table(entries: list[dict[str, Any]], tmp_path: Path):
    trained = entries[1] | {"name": "block 3", "layer": "3", "training": board_entries.trained(0.11)}
    page = Tables(evals.site.build([*entries, trained], {}, tmp_path / "new" / "site"))
    ranking = [[cell.strip() for cell in row] for row in page.tables[0]]
    titles = ["Place", "Policy", "Success", "Turns", "Invalid", "Tokens", "Trained"]
    assert ranking[0][1:] == [*titles, "Update ÷ full", "Memory ÷ full", "Delta"]
    assert [row[1].split() for row in ranking[1:]] == [["1", "to", "3"]] * 3
    assert ranking[2][7:] == ["11.0 %", "0.38", "0.56", "308.0 KiB"]
    assert ranking[3][3].startswith("0.0 %")
    assert [link for link in page.links if not link.startswith(("#", "data:image/svg+xml"))] == []


def test_what_the_plots_of_the_studies_show_can_be_read(entries: list[dict[str, Any]], tmp_path: Path):
    path = evals.site.build(entries, {}, tmp_path)
    page = Tables(path)
    drawn = [json.loads(file.read_text()) for file in sorted(board.STUDIES.glob("*/study.json"))]
    plots = [(study, panel) for study in drawn for panel in study["panels"]]
    assert path.read_text(encoding="utf-8").count('alt="Plot of the numbers below: ') == len(plots)
    shown = [table for table in page.tables if table[0][-1].startswith("contribution (95 % interval)")]
    for (study, panel), table in zip(plots, shown, strict=True):
        names = ["nothing (base)", *(f"block {block}" for block in range(study["blocks"])), "everything (full)"]
        assert [row[0] for row in table[1:]] == [*names, *(["LoRA on block 3"] if "lora:3" in study["arms"] else [])]
        arm, share = study["arms"]["0"], study["contribution"][panel]["0"]
        low, high = (f"{100 * end:.1f}" for end in arm["interval"][panel])
        assert table[2][1:3] == [f"{100 * np.mean(arm['success'][panel]):.1f} %", f"{low} to {high}"]
        # Where full training's gain is not clear there is no contribution, and none is shown.
        defined = share["value"] is not None
        assert table[2][3].startswith(f"{share['value']:.2f} (" if defined else "\N{EN DASH}")


def test_it_is_the_same_every_time(entries: list[dict[str, Any]], tmp_path: Path):
    first = evals.site.build(entries, {}, tmp_path).read_bytes()
    assert evals.site.build(entries, {}, tmp_path).read_bytes() == first
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]


def test_no_entries_make_a_page_that_says_so(tmp_path: Path):
    assert "no entries yet" in evals.site.build([], {}, tmp_path).read_text(encoding="utf-8")


def test_only_an_entrys_own_temperature_is_taken(entries: list[dict[str, Any]], tmp_path: Path):
    _, found = board_entries.played("planner", TASKS, max_turns=10)
    path = board_entries.write(tmp_path / "0.jsonl", found, temperature=0.0)
    with path.open("a", encoding="utf-8") as file:
        file.write(board_entries.write(tmp_path / "1.jsonl", found, temperature=1.0).read_text(encoding="utf-8"))
    greedy = entries[1] | {"sampling": {"temperature": 0, "seeds": [0]}}
    text = evals.site.build([greedy], {"0": path}, tmp_path / "one").read_text(encoding="utf-8")
    assert "read its episodes" in text.lower()
    scripted = evals.site.build([entries[1]], {"0": path}, tmp_path / "none").read_text(encoding="utf-8")
    assert "read its episodes" not in scripted.lower()


def test_the_benchmarks_page_can_be_built(tmp_path: Path):
    found, episodes = bench._play(2, tmp_path)
    page = evals.site.build(found, episodes, tmp_path).read_text(encoding="utf-8")
    assert all(f"{player}</" in page for player in bench.PLAYERS)
    assert "read its episodes" in page.lower()


def test_a_command_that_needs_data_says_what_path_stands_for(entries: list[dict[str, Any]], tmp_path: Path):
    said = "PATH stands for the file or folder on your machine with the data that this command reads."
    needs = entries[0] | {"name": "needs data", "command": "python -m evals.run policy=random data=PATH"}
    text = evals.site.build([*entries, needs], {}, tmp_path).read_text(encoding="utf-8")
    assert text.count(said) == 1
    assert re.search(rf"data=PATH</pre>.*?{re.escape(said)}", text, re.DOTALL)


def test_what_cannot_be_used_is_refused(entries: list[dict[str, Any]], tmp_path: Path):
    nameless = {key: value for key, value in entries[0].items() if key != "panel"}
    with pytest.raises(InputError, match="entry 0 of the leaderboard has no 'panel'"):
        evals.site.build([nameless], {}, tmp_path)
    with pytest.raises(InputError, match="cannot be read"):
        evals.site.build(entries, {"0": tmp_path / "nowhere.jsonl"}, tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        evals.site.build(entries, {}, tmp_path / "file")


def outcomes(wins: list[int], plays: int = 1) -> dict[str, Any]:
    return {"outcomes": wins, "sampling": {"seeds": list(range(plays))}}


def test_comparisons_claim_no_more_than_their_interval():
    clear, none = outcomes([1] * 20), outcomes([0] * 20)
    assert compare(clear, none).endswith("told apart.")
    assert "not told apart" not in compare(clear, none)
    assert compare(none, clear).startswith("\N{MINUS SIGN}100.0 points on 20 tasks (95 % interval ")
    assert compare(outcomes([1, 0] * 10), outcomes([1, 0] * 9 + [0, 0])).endswith("not told apart.")
    repeated = compare(outcomes([3, 2, 3, 2] * 5, 3), outcomes([0, 1, 0, 0] * 5, 3))
    assert repeated.endswith("told apart.")
    assert "exact sign-flip p < 0.0001" in repeated
    other_plays = compare(outcomes([3, 3, 3, 3, 3, 3, 3, 3], 3), outcomes([1] * 8, 2))
    assert "Student's over tasks, exact sign-flip p 0.0078): told apart." in other_plays.replace("p = ", "p ")
    # Equal differences have an interval without width, and say all the same no more than their number.
    assert compare(outcomes([3] * 4, 3), outcomes([1] * 4, 2)).endswith("p = 0.12): not told apart.")
    assert compare(clear, outcomes([1] * 19)) == ""
    assert compare(outcomes([]), outcomes([])) == ""
    assert compare(outcomes([1]), outcomes([0])) == "One task tells nothing."


def test_the_site_the_comparison_and_the_ranking_say_the_same_of_several_plays():
    a, b = made.entry("a", [3, 3, 3, 3], rounds=3), made.entry("b", [2, 2, 2, 2], rounds=3)
    found = compared(a["outcomes"], b["outcomes"], 3)
    assert found.p == p_values([a, b])[0, 1] == 0.125
    assert not is_resolved({"interval": found.interval, "p": found.p})
    assert compare(a, b) == (
        "+33.3 points on 4 tasks (95 % interval \N{MINUS SIGN}42.6 to +73.8, exact sign-flip p = 0.12): not told apart."
    )


def test_the_comparison_says_what_the_ranking_says_of_every_pair():
    for table in tables(committed.without([])):
        if table[0]["panel"]["name"] not in ("math-test-seed0", "textworld_cooking"):
            continue
        clear, said = clear_differences(table), comparisons(list(enumerate(table)))
        pairs = [tuple(map(int, pair.split(","))) for pair in said]
        assert len(pairs) == len(table) * (len(table) - 1) // 2
        assert {pair: said[f"{pair[0]},{pair[1]}"].endswith("): told apart.") for pair in pairs} == {
            pair: bool(clear[pair]) for pair in pairs
        }
        # Of some of them the pair's own p would have said otherwise.
        assert any((p_values(table)[pair] < 0.05) != clear[pair] for pair in pairs)


def test_the_corrected_p_stands_beside_the_pairs_own():
    wins = [[1] * count + [0] * (200 - count) for count in (107, 100, 104, 105, 106)]
    said = comparisons([(7 * number, made.entry(f"entry {number}", won)) for number, won in enumerate(wins)])
    assert said["0,7"].endswith(
        "exact McNemar p = 0.016; corrected for the 10 pairs of this table p = 0.16): not told apart."
    )
    (alone,) = comparisons([(0, made.entry("a", wins[0])), (1, made.entry("b", wins[1]))]).values()
    assert alone.endswith("exact McNemar p = 0.016): told apart.")


def test_where_the_interval_does_not_agree_with_the_test_it_says_so():
    said = compare(outcomes([1, 1, 1, 1, 1, 20], 20), outcomes([0] * 6, 2))
    assert "interval \N{MINUS SIGN}19.9 to +61.5, Student's over tasks, exact sign-flip p = 0.031)" in said
    assert said.endswith(": told apart by the test, while the interval holds zero.")


def test_entries_of_a_committee_and_of_unknown_costs(entries: list[dict[str, Any]], tmp_path: Path):
    committee = entries[1] | {"name": "three", "delta_sha256": ["a" * 64, "b" * 64], "cost": None}
    text = evals.site.build([*entries, json.loads(json.dumps(committee))], {}, tmp_path).read_text(encoding="utf-8")
    assert f"{'a' * 64}, {'b' * 64}" in text
