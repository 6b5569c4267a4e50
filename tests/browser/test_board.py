"""The leaderboard in a real browser: sorting, filtering, comparing, reading, by mouse and by keyboard."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import evals.site
from tests.browser.page import Page
from tests.browser.sites import TASKS, site
from tests.browser.test_episodes import NAMELESS
from tests.evals import board_entries

ENTER, TAB, SPACE = "\ue007", "\ue004", " "
FIRST = "section.panel[data-panel='0'] "
NAMES = FIRST + "tbody th a:first-child"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return site(tmp_path_factory.mktemp("board"))


@pytest.fixture
def board(page: Page, index: Path) -> Page:
    page.open(index)
    return page


def sort_by(board: Page, title: str) -> tuple[str, list[str]]:
    """Clicks a heading of the first panel. Returns the direction it says, and the names in their new order."""
    (button,) = [button for button in board.all(FIRST + "thead button") if button.text.startswith(title)]
    button.click()
    (sorted_,) = board.all(FIRST + "thead th[aria-sort]")
    assert sorted_.text.startswith(title)
    return sorted_.get_attribute("aria-sort"), board.texts(NAMES)


def test_ranks_with_ties_and_intervals(board: Page):
    assert board.texts(NAMES) == ["exploring", "planner", "everything", "block 3", "random"]
    places = board.texts(FIRST + "tbody td:nth-child(2)")
    assert places == ["1 to 4", "1 to 4", "1 to 4", "1 to 5", "4 to 5"]
    assert "ties are not transitive" in board.text(FIRST + ".scroll + .note")
    success = board.texts(FIRST + "tbody td.success")
    assert success[0] == "100.0 %75.8 to 100.0"
    assert success[2] == "75.0 %20.0 to 90.0"
    assert board.text("#board-count") == "6 of 6 entries"
    assert board.view() == "board"


def test_columns_sort_both_ways_and_what_is_empty_comes_last(board: Page):
    assert sort_by(board, "Trained") == ("ascending", ["block 3", "everything", "exploring", "planner", "random"])
    assert sort_by(board, "Trained") == ("descending", ["everything", "block 3", "exploring", "planner", "random"])
    direction, names = sort_by(board, "Success")
    assert (direction, names[-1]) == ("descending", "random")
    assert sort_by(board, "Policy")[1] == ["block 3", "everything", "exploring", "planner", "random"]
    assert sort_by(board, "Turns")[1][-2:] == ["exploring", "random"]
    assert board.text("#announcer").startswith("sorted by Turns, ascending")
    # Other panels stay as they were.
    assert board.find("section.panel[data-panel='1'] th[aria-sort]").text.startswith("Success")
    # By the best place, then by the worst.
    assert sort_by(board, "Place")[1][-2:] == ["block 3", "random"]


def test_filters_narrow_each_other(board: Page):
    board.run("arguments[0].value = 'layer'", board.find("#board-filters select[name=kind]"))
    board.find("#board-filters input").send_keys("gigpo")
    assert board.texts(NAMES) == ["block 3"]
    assert board.text("#board-count") == "1 of 6 entries"
    board.find("#board-filters input").send_keys("nothing such")
    assert board.texts(NAMES) == []
    assert "None of 6 entries" in board.text("#board-count")


def test_a_phrase_is_searched_as_it_stands(page: Page, tmp_path: Path):
    panel, found = board_entries.played("random", 3, max_turns=5)
    names = ("layer 3, seed 1", "layer 7, seed 3")
    page.open(evals.site.build([board_entries.entry(name, "layer", panel, found) for name in names], {}, tmp_path))
    for words, expected in (("layer 3", names[:1]), ("seed layer", names), ("seed  3", names[1:]), ("", names)):
        page.find("#board-filters input").clear()
        page.find("#board-filters input").send_keys(words)
        page.run("document.querySelector('#board-filters').dispatchEvent(new Event('input'))")
        assert page.texts(NAMES) == list(expected), words


def test_ones_own_entries_are_marked(board: Page):
    (mark,) = board.all(".badge.own")
    assert board.run("return arguments[0].closest('tr').querySelector('a').textContent", mark) == "block 3"


def test_back_leads_to_where_one_was(board: Page):
    link = board.all(NAMES)[3]
    board.tap(link)
    board.until(lambda: board.view() == "entry")
    assert board.run("return scrollY") == 0
    board.driver.back()
    board.until(lambda: board.view() == "board")
    assert board.focused() == "block 3"
    board.driver.forward()
    board.until(lambda: board.view() == "entry")
    assert board.focused() == "block 3"


def test_a_policys_episodes_are_not_silently_those_of_all(board: Page):
    board.click(FIRST + "tbody tr:nth-child(1) a[href^='#episodes']")
    board.until(lambda: board.view() == "episodes")
    assert board.text("#episode-count").startswith(f"{TASKS} of ")
    board.run("document.querySelector('.tabs a[href=\"#episodes\"]').click()")
    board.until(lambda: board.text("#episode-count").startswith(f"{3 * TASKS} of {3 * TASKS}"))


def test_the_panel_filter_hides_other_panels(board: Page):
    board.find("#board-filters select[name=panel]").send_keys("other")
    assert board.texts("section.panel h3") == ["other"]
    assert board.text("#board-count") == "1 of 6 entries"


def test_two_policies_side_by_side(board: Page):
    boxes = board.all(FIRST + "input.choose")
    boxes[0].click()
    assert board.text("#compare-hint") == "exploring: choose one more of this panel"
    assert not board.find("#compare-go").is_enabled()
    boxes[4].click()
    board.click("#compare-go")
    board.until(lambda: board.view() == "compare")
    assert board.focused() == "random and exploring"
    assert board.text("#verdict").startswith("random minus exploring: \N{MINUS SIGN}")
    assert "exact McNemar p" in board.text("#verdict")
    facts = dict(
        zip(board.texts(".comparison th[scope=row]"), board.texts(".comparison td:nth-child(3)"), strict=False)
    )
    assert facts["Success"] == "100.0 %"
    assert board.texts(".tallies button")[0] == f"all tasks: {TASKS}"
    lost = next(button for button in board.all(".tallies button") if button.text.startswith("exploring better"))
    lost.click()
    assert lost.get_attribute("aria-pressed") == "true"
    count = int(lost.text.rpartition(" ")[2])
    assert len(board.texts(".by-task tbody tr")) == count > TASKS / 2
    assert set(board.texts(".by-task td:nth-child(2)")) == {"not won"}
    # Both episodes of a task, beside each other.
    board.all(".by-task tbody a")[0].click()
    board.until(lambda: board.view() == "episode")
    assert [text.split()[0] for text in board.texts(".episode h3")] == ["random", "exploring"]
    assert board.text("#difference").startswith("Their actions first differ in turn ")
    board.driver.back()
    board.until(lambda: board.view() == "compare")


def test_entries_of_different_panels_are_not_compared(board: Page):
    board.all(FIRST + "input.choose")[0].click()
    board.click("section.panel[data-panel='1'] input.choose")
    assert board.text("#compare-hint").endswith("choose two of one panel")
    assert not board.find("#compare-go").is_enabled()
    board.click("#compare-clear")
    assert board.all("#compare-bar") == []


def test_entries_without_episodes_are_compared_task_by_task(page: Page, index: Path):
    page.open(index, "#compare=4,3")
    assert page.text("#compare-title") == "block 3 and everything"
    tallies = [text.rpartition(": ") for text in page.texts(".tallies button")]
    assert {name: int(count) for name, _, count in tallies} == {
        "all tasks": 12,
        "block 3 better": 0,
        "everything better": 3,
        "both the same, won": 6,
        "neither": 3,
    }
    assert page.all(".by-task a") == []


def test_an_entry_says_how_to_reproduce_it(board: Page):
    board.all(NAMES)[1].click()
    board.until(lambda: board.view() == "entry")
    assert board.focused() == "planner"
    assert (
        board.text("[data-view=entry]:not([hidden]) .command")
        == "python -m evals.run policy=planner panel=alfworld_unseen"
    )
    (copy,) = board.all("button.copy")
    copy.click()
    board.until(lambda: copy.text == "Copied")
    board.run("document.querySelector('#board-filters input').value = ''; location.hash = 'board'")
    board.until(lambda: board.view() == "board")
    field = board.find("#board-filters input")
    field.click()
    board.run("return 0")
    from selenium.webdriver.common.keys import Keys

    field.send_keys(Keys.CONTROL, "v")
    assert field.get_attribute("value") == "python -m evals.run policy=planner panel=alfworld_unseen"


def test_everything_can_be_done_from_the_keyboard(board: Page):
    board.press(TAB)
    assert board.focused() == "Skip to the content"
    board.press(ENTER)
    assert board.run("return document.activeElement.id") == "main"
    seen = []
    for _ in range(12):
        board.press(TAB)
        seen.append(board.focused())
        outline = board.run("return getComputedStyle(document.activeElement).outlineStyle")
        assert outline not in ("none", ""), f"no outline on {seen[-1]!r}"
        if seen[-1] == "Turns":
            break
    assert seen[-1] == "Turns"
    board.press(SPACE)
    assert board.texts(NAMES)[-1] == "random"
    assert board.texts(FIRST + "thead th[aria-sort]") == ["Turns"]
    assert board.focused() == "Turns"
    while board.run("return document.activeElement.className") != "choose":
        board.press(TAB)
    board.press(SPACE, TAB, ENTER)
    board.until(lambda: board.view() == "entry")
    assert board.focused() == "planner"
    board.driver.back()
    board.until(lambda: board.view() == "board")
    assert board.text("#compare-hint").startswith("planner: ")


def test_two_policies_are_compared_from_the_keyboard(board: Page):
    def onward(to: str) -> None:
        for _ in range(40):
            board.press(TAB)
            if board.run("return document.activeElement.getAttribute('aria-label')") == to:
                return
        raise AssertionError(f"{to!r} is not reached")

    onward("Compare exploring")
    board.press(SPACE)
    assert board.all("#compare-here") == []
    onward("Compare everything")
    board.press(SPACE)
    assert board.text("#announcer") == "exploring and everything. Compare comes next."
    assert board.text("#compare-hint") == "exploring and everything"
    # The next stop is the comparison, and can be seen there.
    board.press(TAB)
    assert board.focused() == "Compare exploring and everything"
    shown = board.run("const r = document.activeElement.getBoundingClientRect(); return [r.width, r.height]")
    assert min(shown) > 15
    board.press(ENTER)
    board.until(lambda: board.view() == "compare")
    assert board.focused() == "exploring and everything"
    assert "told apart" in board.text("#verdict")
    board.driver.back()
    board.until(lambda: board.view() == "board")
    # A third box takes the link away, and unticking it brings the link to that box.
    boxes = board.all(FIRST + "input.choose")
    boxes[4].send_keys(SPACE)
    assert board.all("#compare-here") == []
    boxes[4].send_keys(SPACE)
    board.press(TAB)
    assert board.focused() == "Compare exploring and everything"
    board.click("#compare-clear")
    assert board.all("#compare-here") == []


def test_without_the_script_all_tables_are_there(index: Path):
    text = index.read_text(encoding="utf-8")
    before = text[: text.index("<script")]
    assert before.count('<table class="ranking">') == 2
    assert before.count('<caption class="unseen">Ranking on ') == 2
    assert before.count("<tr data-entry=") == 6
    assert not re.search(r'<section class="view[^>]* hidden', before)


@pytest.mark.parametrize("view", ["", "#entry=0", "#compare=0,1", "#compare=3,4", "#episodes", "#studies"])
def test_what_it_shows_is_named_for_screen_readers(page: Page, index: Path, view: str):
    page.open(index, view)
    assert page.run(NAMELESS) == []


def test_the_page_says_its_language_and_has_one_title(board: Page):
    assert board.run("return document.querySelectorAll('h1').length") == 1
    assert board.run("return document.documentElement.lang") == "en"
