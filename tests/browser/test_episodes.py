"""Reading episodes in a real browser: the list, one episode, arms side by side, anchor groups, the run's report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evals import viewer
from evals.site.pages import visible
from tests.browser.page import Page
from tests.browser.sites import run
from tests.evals import board_entries


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("episodes") / "run")


@pytest.fixture(scope="module")
def rows(report: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in report.with_name("episodes.jsonl").read_text().splitlines()]


@pytest.fixture
def episodes(page: Page, report: Path) -> Page:
    page.open(report.with_name("episodes.html"))
    return page


def test_the_report_leads_to_every_episode(page: Page, report: Path, rows: list[dict[str, object]]):
    page.driver.get(report.resolve().as_uri())
    (link,) = page.all("header a")
    link.click()
    page.until(lambda: page.run("return document.documentElement.dataset.ready"))
    assert page.text("#episode-count") == f"25 of 25 episodes, {sum(bool(row['won']) for row in rows)} won"
    assert page.text("header a") == "The run's report"


def test_the_list_filters(episodes: Page):
    form = "#episode-filters "
    episodes.find(form + "select[name=purpose]").send_keys("training")
    assert episodes.text("#episode-count").startswith("16 of 25")
    episodes.find(form + "select[name=source]").send_keys("full")
    assert episodes.text("#episode-count").startswith("8 of 25")
    assert set(episodes.texts("#episode-table tbody td:nth-child(2)")) == {"full"}
    episodes.find(form + "input").send_keys("no such goal")
    assert episodes.text("#episode-count").startswith("0 of 25")


def test_an_episode_shows_what_it_saw_said_and_got(episodes: Page, rows: list[dict[str, object]]):
    won = next(row for row in rows if row["arm"] == "layer" and row["purpose"] == "panel" and row["won"])
    episodes.find("#episode-filters select[name=source]").send_keys("layer")
    episodes.find("#episode-filters input").send_keys(str(won["task"]))
    (link,) = episodes.all("#episode-table tbody th a")
    link.click()
    episodes.until(lambda: episodes.view() == "episode")
    assert episodes.focused() == won["goal"]
    turns = won["turns"]
    assert len(episodes.texts(".turn")) == len(turns)
    shown = episodes.texts(".turn .words")
    expected = [text for turn in turns for text in (turn["saw"], turn["said"])]
    assert shown == [*expected, won["final"]]
    assert episodes.texts(".turn h4 .good")[-1] == "reward 1"


def test_the_arms_of_a_task_side_by_side(episodes: Page):
    episodes.find("#episode-filters select[name=purpose]").send_keys("panel")
    episodes.all("#episode-table tbody th a")[0].click()
    episodes.until(lambda: episodes.view() == "episode")
    episodes.click("#all-beside")
    episodes.until(lambda: len(episodes.texts(".episode")) == 3)
    assert [text.split()[0] for text in episodes.texts(".episode h3")] == ["base", "layer", "full"]
    tops = episodes.run("return [...document.querySelectorAll('.episode')].map((e) => e.getBoundingClientRect().top)")
    assert len(set(tops)) == 1
    assert len(episodes.all(".turn.differs")) >= 2
    takes_away = next(link for link in episodes.all(".others a") if link.text == "take away")
    takes_away.click()
    episodes.until(lambda: len(episodes.texts(".episode")) == 2)


def test_advantages_and_anchor_groups(episodes: Page, rows: list[dict[str, object]]):
    group = [row for row in rows if row["arm"] == "layer" and row["purpose"] == "training"][:4]
    episodes.find("#episode-filters select[name=purpose]").send_keys("training")
    episodes.all("#episode-table tbody th a")[0].click()
    episodes.until(lambda: episodes.view() == "episode")
    first = [f"{turn['advantage']:+.2f}".replace("-", "\N{MINUS SIGN}") for turn in group[0]["turns"]]
    shown = [text.removeprefix("advantage ") for text in episodes.texts(".turn .advantage")]
    assert shown == [text if float(text.replace("\N{MINUS SIGN}", "-")) else "0.00" for text in first]
    episodes.click("#to-group")
    episodes.until(lambda: episodes.view() == "group")
    assert len(episodes.texts(".members > div")) == 4
    turns = [(turn["anchor"], row["member"], turn) for row in group for turn in row["turns"]]
    anchors = {anchor for anchor, _, _ in turns}
    shared = [anchor for anchor in anchors if sum(other == anchor for other, _, _ in turns) > 1]
    sections = episodes.all(".anchor")
    assert len(sections) == len(shared) > 0
    assert f"at {len(anchors)} anchors, at {len(shared)} of them several" in episodes.text(
        "#group-content > p:nth-child(2)"
    )
    anchor = episodes.texts(".anchor .words")[0]
    here = [(member, turn) for other, member, turn in turns if other == anchor]
    cells = episodes.texts(".anchor tbody th, .anchor tbody td")[: 5 * len(here)]
    assert cells[::5] == [f"member {member + 1}" for member, _ in here]
    assert cells[2::5] == [visible(turn["action"]) for _, turn in here]


def test_evaluations_side_by_side(page: Page, tmp_path: Path):
    for player in ("expert", "planner"):
        _, found = board_entries.played(player, 2)
        board_entries.write(tmp_path / player / "episodes.jsonl", found, temperature=None)
    page.open(viewer.build([tmp_path / "expert", tmp_path / "planner"]))
    page.all("#episode-table tbody th a")[0].click()
    page.until(lambda: page.view() == "episode")
    page.click("#all-beside")
    page.until(lambda: len(page.texts(".episode")) == 2)
    assert [text.split()[0] for text in page.texts(".episode h3")] == ["expert", "planner"]


def test_the_reports_line_is_copied(page: Page, report: Path):
    page.driver.get(report.resolve().as_uri())
    (button,) = page.all("button.copy")
    button.click()
    page.until(lambda: button.text == "Copied")


def test_addresses_of_what_is_not_there_change_nothing(page: Page, report: Path):
    page.open(report.with_name("episodes.html"), "#episode=0")
    assert page.view() == "episode"
    for address in ("#episode=9999", "#group=x", "#nothing", "#main", "#episode=", "#]'\"<"):
        page.run("location.hash = arguments[0]", address)
        page.run("return new Promise((done) => setTimeout(done, 0))")
        assert page.view() == "episode"
