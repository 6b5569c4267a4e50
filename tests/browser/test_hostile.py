"""Whatever an episode or an entry says is shown as text: markup, scripts, unseen characters, endless lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import evals.site
from evals import viewer
from evals.site.pages import visible
from tests.browser.page import Page
from tests.evals import board_entries

MARKUP = (
    "</script></pre></td><script>window.ran = 1</script><img src=x onerror='window.ran = 2'>"
    "<svg onload=window.ran=3><a href='javascript:window.ran=4'>go</a><style>*{display:none}</style><!--<script>{{ 7 }}"
)
UNSEEN = (
    "a\x00b\x07c\x1b[31m\x7f\x85 \u202eevil\u202c \u2066x\u2069 \u200b\ufeff \ud800 \udfff \U000e0041 \r"
    " tab\tline\n\u2028end"
)
# Two Persian words, the first with a joiner that belongs there.
PERSIAN = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 \u0633\u0644\u0627\u0645"
LINE = "x" * 200_000
HOSTILE = [MARKUP, UNSEEN, PERSIAN, LINE]


def row(text: str, task: str) -> dict[str, Any]:
    turn = {
        "saw": text,
        "said": text,
        "action": text + "!",
        "valid": False,
        "reward": 0.5,
        "anchor": text,
        "advantage": -1,
    }
    return {
        "arm": MARKUP,
        "purpose": "training",
        "temperature": 1.0,
        "task": task,
        "task_type": text[:300],
        "goal": text[:300],
        "seed": 0,
        "iteration": 0,
        "member": 0,
        "won": False,
        "stop": text[:300],
        "error": text[:300],
        "turns": [turn, turn],
        "final": text,
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    rows = [row(text, f"{number} {text[:300]}") for number, text in enumerate(HOSTILE)]
    (folder / "episodes.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows), encoding="utf-8")
    return folder


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_episodes_are_shown_and_never_run(page: Page, folder: Path, number: int):
    page.as_screen(360)
    page.open(viewer.build([folder]), f"#episode={number}")
    text = visible(HOSTILE[number])
    assert page.view() == "episode"
    assert page.run("return document.querySelector('#episode-title').textContent") == visible(HOSTILE[number][:300])
    if number == HOSTILE.index(LINE):
        assert all(len(shown) < 5000 for shown in page.texts(".words"))
        page.all(".turn .more")[0].click()
    shown = page.texts(".turn .words")
    assert shown[0] == text.replace("\r\n", "\n")
    untouched(page)
    page.run("location.hash = arguments[0]", f"group={number}")
    page.until(lambda: page.view() == "group")
    untouched(page)
    page.run("location.hash = 'episodes'")
    page.until(lambda: page.view() == "episodes")
    assert visible(HOSTILE[number][:300]) in page.texts("#episode-table tbody th a")
    untouched(page)


def test_entries_are_shown_and_never_run(page: Page, tmp_path: Path):
    panel, found = board_entries.played("planner", 2)
    entries = []
    for text in HOSTILE:
        short = text[:2000]
        made = board_entries.entry(
            short, short, panel, found, policy=short, command=short, layer=short, algorithm=short
        )
        made["panel"] |= {"name": MARKUP + UNSEEN}
        made["cost"] = {"hardware": {"processor": short}, "versions": {short: short}, "date": short}
        made["score"] |= {"by_type": {short: made["score"]}}
        entries.append(made)
    index = evals.site.build(entries, {}, tmp_path)
    page.as_screen(360)
    for view in ("", *(f"#entry={number}" for number in range(len(HOSTILE))), "#compare=0,1", "#compare=2,3"):
        page.open(index, view)
        untouched(page)
    page.open(index)
    assert sorted(page.texts("tbody th a")) == sorted(visible(text[:2000]) for text in HOSTILE)
    page.find("#board-filters input").send_keys("window.ran = 1")
    assert page.texts("tbody th a") == [visible(MARKUP)]


def test_page_and_builder_agree_on_what_cannot_be_seen(page: Page, folder: Path):
    page.open(viewer.build([folder]))
    # Every character of the first plane and of that of tags; "\r\n" is one line end for both.
    points = [*range(0x10000), *range(0xE0000, 0xE0200)]
    here = [len(visible(chr(point))) > 1 for point in points]
    script = "return arguments[0].map((point) => visible(String.fromCodePoint(point)).length > 2 || point === 0)"
    there = page.run(script, points)
    assert [point for point, one, other in zip(points, here, there, strict=True) if one != other] == []
    assert visible("a\r\nb\rc") == "a\r\nb[U+000D]c"
    assert page.run(r"return visible('a\r\nb\rc')") == visible("a\r\nb\rc")


def untouched(page: Page) -> None:
    """Nothing ran, nothing was taken for markup, and nothing is wider than the phone."""
    assert page.run("return window.ran") is None
    # What the page itself draws are the figures of studies.
    selector = "main img:not(figure img), main script, main style, main iframe, [onload], [onerror]"
    strangers = page.run("return [...document.querySelectorAll(arguments[0])].map((e) => e.outerHTML)", selector)
    assert strangers == []
    assert page.run("return [...document.links].every((link) => link.protocol === 'file:')")
    assert page.run("return document.documentElement.scrollWidth") <= 360
