"""Reading episodes in a real browser: the list, one episode, arms side by side, anchor groups, the run's report."""

from __future__ import annotations

import json
import re
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
    # What a turn got is what the next one saw, which shows it again when it is asked to.
    labels = episodes.texts(".turn .label")
    assert labels == ["saw", "said", "got", *["said", "got"] * (len(turns) - 1)]
    again = episodes.all(".turn .again summary")
    assert [summary.text for summary in again] == [f"saw what turn {number} got" for number in range(1, len(turns))]
    episodes.tap(again[0])
    episodes.until(lambda: episodes.texts(".again .words"))
    assert episodes.texts(".again .words") == [turns[1]["saw"]]
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
    ways = episodes.all("#difference button")
    assert [way.text.split(" of ")[1] for way in ways] == ["base", "layer", "full"][: len(ways)]
    ways[-1].click()
    assert episodes.run("return document.activeElement.classList.contains('differs')")
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
    alone = viewer.build([tmp_path / "expert"]).read_bytes()
    page.open(viewer.build([tmp_path / "expert", tmp_path / "planner"]))
    assert (tmp_path / "expert" / "episodes-beside-planner.html").is_file()
    assert (tmp_path / "expert" / "episodes.html").read_bytes() == alone
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


def test_the_report_shows_the_curves_with_intervals(page: Page, report: Path):
    page.driver.get(report.resolve().as_uri())
    drawn = [page.run(f"return document.querySelectorAll('svg .whisker.{arm}').length") for arm in ("layer", "full")]
    assert drawn == [30, 30]
    page.run("document.querySelectorAll('details').forEach((found) => (found.open = true))")
    (numbers,) = [found for found in page.all("table") if found.text.startswith("Learning curves: ")]
    assert page.run("return arguments[0].tBodies[0].rows[29].textContent", numbers).count("(") == 2
    said = page.run("return [...document.querySelectorAll('svg desc')].map((d) => d.textContent).join()")
    assert re.search(r"layer from \d+ \(\d+ to \d+\) to \d+ \(\d+ to \d+\) percent", said)


ENTER, TAB = "\ue007", "\ue004"


def test_an_episode_is_opened_and_left_from_the_keyboard(episodes: Page):
    def onward(holds: str) -> None:
        for _ in range(40):
            episodes.press(TAB)
            if episodes.run(f"const here = document.activeElement; return {holds}"):
                return
        raise AssertionError(f"{holds} is not reached")

    onward("here.name === 'text'")
    task = episodes.texts("#episode-table tbody small")[4] if episodes.texts("#episode-table tbody small") else ""
    episodes.press(*(task or "look")[:4])
    left = episodes.text("#episode-count")
    onward("here.matches('#episode-table tbody a')")
    opened = episodes.focused()
    episodes.press(ENTER)
    episodes.until(lambda: episodes.view() == "episode")
    assert episodes.focused() == opened
    episodes.driver.back()
    episodes.until(lambda: episodes.view() == "episodes")
    # The list, what it was narrowed to, and the reader's place in it are as they were.
    assert episodes.text("#episode-count") == left
    assert episodes.focused() == opened
    assert episodes.run("return document.activeElement.matches('#episode-table tbody a')")


NAMELESS = """
const shown = (e) => e.checkVisibility();
const name = (e) => e.getAttribute('aria-label') || e.labels?.length || e.textContent.trim();
const tables = [...document.querySelectorAll('table')].filter(shown);
return [
  ...[...document.querySelectorAll('input, select, button, a[href], summary')].filter((e) => shown(e) && !name(e)),
  ...tables.filter((t) => !t.caption || !t.tHead.rows.length),
  ...tables.flatMap((t) => [...t.querySelectorAll('th')]).filter((e) => shown(e) && (!e.scope || !name(e))),
  ...[...document.querySelectorAll('[role=region], nav')].filter((e) => shown(e) && !e.getAttribute('aria-label')),
  ...[...document.querySelectorAll('img')].filter((e) => !e.alt),
].map((e) => e.outerHTML.slice(0, 200));
"""


@pytest.mark.parametrize("view", ["", "#episode=0", "#episode=0,1,2", "#group=9"])
def test_what_it_shows_is_named_for_screen_readers(page: Page, report: Path, view: str):
    page.open(report.with_name("episodes.html"), view)
    assert page.run(NAMELESS) == []


def test_what_the_report_shows_is_named_for_screen_readers(page: Page, report: Path):
    page.driver.get(report.resolve().as_uri())
    page.run("document.querySelectorAll('details').forEach((found) => (found.open = true))")
    assert page.run(NAMELESS) == []


def test_addresses_of_what_is_not_there_change_nothing(page: Page, report: Path):
    page.open(report.with_name("episodes.html"), "#episode=0")
    assert page.view() == "episode"
    for address in ("#episode=9999", "#group=x", "#nothing", "#main", "#episode=", "#]'\"<"):
        page.run("location.hash = arguments[0]", address)
        page.run("return new Promise((done) => setTimeout(done, 0))")
        assert page.view() == "episode"
