"""Progress bars on a terminal: titles and notes are text, whatever is in them."""

from __future__ import annotations

import io

from rich.console import Console

from envs.screen import Screen


def test_titles_and_notes_of_bars_are_text():
    screen, shown = Screen(), io.StringIO()
    screen.console = Console(file=shown, force_terminal=True, width=120, highlight=False, markup=False)
    with screen.bar("run[/x]", 2) as bar:
        bar.advance(note="[/red] 1 of [bold]2")
        bar.advance()
    assert "run[/x]" in shown.getvalue().split("in 0 s")[0]
    assert "[/red] 1 of [bold]2" in shown.getvalue()
