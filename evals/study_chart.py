"""The plot of a study: success after training each block alone, between the base policy and full training.

A standalone SVG, light and dark, without scripts or fonts of its own. The right axis gives the contribution where it is
defined: 0 at the base's success, 1 at full training's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

from envs.errors import shortened
from evals import figures, findings
from evals.charts import nice_ticks
from evals.figures import Table
from evals.studies import BASE, FULL

WIDTH, HEIGHT = 640, 340
LEFT, RIGHT, TOP, BOTTOM = 58, 58, 58, 48
# Room for what the levels are called, before the first block.
WORD = 30
_STYLE = """
text{font:13px system-ui,sans-serif;fill:#222}.title{font-weight:600}.small{font-size:12px}
.grid{stroke:#ddd}.axis{stroke:#888}.base{stroke:#777;fill:#777}.full{stroke:#b5541c;fill:#b5541c}
.layer{stroke:#1f5fa8;fill:#1f5fa8}.lora{stroke:#6a3d9a;fill:none}
.band{stroke:none;opacity:.13}.dash{stroke-dasharray:6 4}
line,path{stroke-width:1.6}.back{fill:#fff}text.base,text.full,text.lora{stroke:none}text.base{fill:#444}text.full{fill:#7a3208}text.lora{fill:#6a3d9a}
@media (prefers-color-scheme:dark){text{fill:#ddd}.grid{stroke:#444}.back{fill:#161616}.base{stroke:#aaa;fill:#aaa}
.full{stroke:#f0935a;fill:#f0935a}.layer{stroke:#74b0f4;fill:#74b0f4}.lora{stroke:#c5a3ea}text.base{fill:#eee}text.full{fill:#ffc9a3}text.lora{fill:#c5a3ea}}
"""


class _Plot:
    """Maps blocks and shares to the drawing, and collects its parts."""

    def __init__(self, blocks: int, low: float, high: float) -> None:
        self.blocks = blocks
        self.ticks = nice_ticks(100 * low, 100 * high)
        self.parts: list[Markup] = []

    def x(self, block: float) -> float:
        return round(LEFT + WORD + (block + 0.5) / self.blocks * (WIDTH - LEFT - RIGHT - WORD), 1)

    def y(self, share: float) -> float:
        low, high = self.ticks[0], self.ticks[-1]
        place = min(max((100 * share - low) / (high - low), 0.0), 1.0)
        return round(HEIGHT - BOTTOM - place * (HEIGHT - BOTTOM - TOP), 1)

    def text(self, x: float, y: float, text: str, anchor: str = "middle", style: str = "") -> None:
        self.parts.append(
            Markup('<text x="{}" y="{}" text-anchor="{}" class="{}">{}</text>').format(x, y, anchor, style, text)
        )

    def line(self, x1: float, y1: float, x2: float, y2: float, style: str) -> None:
        self.parts.append(Markup('<line x1="{}" y1="{}" x2="{}" y2="{}" class="{}"/>').format(x1, y1, x2, y2, style))


def chart(study: Mapping[str, Any], panel: str) -> str:
    """Draws a study on one of its panels.

    Args:
        study: the content of `study.json`.
        panel: the panel's name.

    Returns:
        A standalone SVG.
    """
    arms = _arms(study, panel)
    blocks = [name for name in arms if name.isdecimal()]
    ends = [end for arm in arms.values() for end in arm["interval"][panel]] or [0.0, 1.0]
    plot = _Plot(study["blocks"], min(ends), max(ends))
    title = f"{study['env']}, {study['algorithm']}: success after training one block alone"
    plot.text(LEFT, 20, title, "start", "title")
    # A model may be a folder or a hub's id: its last part is its name.
    start = "a warm start" if study["model"] == "warm" else shortened(study["model"].rstrip("/").rpartition("/")[2], 40)
    plot.text(LEFT, 38, f"from {start}, {len(study['seeds'])} seeds", "start", "small")
    for tick in plot.ticks:
        plot.line(LEFT, plot.y(tick / 100), WIDTH - RIGHT, plot.y(tick / 100), "grid")
        plot.text(LEFT - 8, plot.y(tick / 100) + 4, f"{tick:g} %", "end")
    every = -(-study["blocks"] // 16)
    for block in range(0, study["blocks"], every):
        plot.text(plot.x(block), HEIGHT - BOTTOM + 18, str(block))
    plot.text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, f"block, from input to output ({panel})", style="small")
    for name, word in ((BASE, "base"), (FULL, "full")):
        if name in arms:
            _level(plot, arms[name], panel, name, word)
    _contribution_axis(plot, study, arms, panel)
    for name in blocks:
        _point(plot, int(name), arms[name], panel, "layer")
    for name, arm in arms.items():
        if name.startswith("lora:"):
            _point(plot, int(name.split(":")[1].split(",")[0]) + 0.22, arm, panel, "lora")
            plot.text(WIDTH - RIGHT, 38, f"diamond: LoRA on block {name.split(':')[1]}", "end", "small lora")
    return _svg(title, _description(arms, panel), plot.parts)


def numbers(study: Mapping[str, Any], panel: str) -> Table:
    """What the plot of a study shows, for those who do not see it: a row for each policy.

    Args:
        study: the content of `study.json`.
        panel: the panel's name.

    Returns:
        Success, its interval, and the contribution with its interval where it is defined.
    """
    shares = study["contribution"].get(panel, {})
    rows = [
        [
            _name(name),
            findings.percent(_mean(arm, panel)),
            figures.range_of_percent(arm["interval"][panel]),
            _share(shares.get(name) or {}),
        ]
        for name, arm in _arms(study, panel).items()
    ]
    return Table(["trained", "success", "95 % interval, %", "contribution (95 % interval)"], rows)


def _arms(study: Mapping[str, Any], panel: str) -> dict[str, Mapping[str, Any]]:
    """The policies that played the panel."""
    return {name: arm for name, arm in study["arms"].items() if arm["success"].get(panel)}


def _name(arm: str) -> str:
    named = {BASE: "nothing (base)", FULL: "everything (full)"}
    return named.get(arm) or (f"block {arm}" if arm.isdecimal() else f"LoRA on block {arm.partition(':')[2]}")


def _share(found: Mapping[str, Any]) -> str:
    if found.get("value") is None:
        return figures.ABSENT
    low, high = found["interval"]
    return f"{found['value']:.2f} ({'not bounded' if None in (low, high) else f'{low:.2f} to {high:.2f}'})"


def _mean(arm: Mapping[str, Any], panel: str) -> float:
    values: Sequence[float] = arm["success"][panel]
    return sum(values) / len(values)


def _level(plot: _Plot, arm: Mapping[str, Any], panel: str, style: str, word: str) -> None:
    """A horizontal line with its interval as a band."""
    low, high = arm["interval"][panel]
    y, top, bottom = plot.y(_mean(arm, panel)), plot.y(high), plot.y(low)
    plot.parts.append(
        Markup('<rect x="{}" y="{}" width="{}" height="{}" class="band {}"/>').format(
            LEFT, top, WIDTH - LEFT - RIGHT, round(bottom - top, 1), style
        )
    )
    plot.line(LEFT, y, WIDTH - RIGHT, y, f"{style} dash" if style == BASE else style)
    plot.text(LEFT + 6, y - 5, word, "start", f"small {style}")


def _contribution_axis(plot: _Plot, study: Mapping[str, Any], arms: Mapping[str, Any], panel: str) -> None:
    """Marks of C on the right, where full training's gain is clear."""
    found = study["contribution"].get(panel, {}).values()
    if not any(entry["value"] is not None for entry in found):
        return
    base, full = _mean(arms[BASE], panel), _mean(arms[FULL], panel)
    for share in (0.0, 0.5, 1.0):
        y = plot.y(base + share * (full - base))
        plot.line(WIDTH - RIGHT, y, WIDTH - RIGHT + 5, y, "axis")
        plot.text(WIDTH - RIGHT + 9, y + 4, f"C = {share:g}", "start", "small")


def _point(plot: _Plot, block: float, arm: Mapping[str, Any], panel: str, style: str) -> None:
    low, high = arm["interval"][panel]
    x, y = plot.x(block), plot.y(_mean(arm, panel))
    plot.line(x, plot.y(low), x, plot.y(high), style)
    for end in (low, high):
        plot.line(x - 4, plot.y(end), x + 4, plot.y(end), style)
    shape = '<circle cx="{x}" cy="{y}" r="4.5" class="{style}"/>'
    if style == "lora":
        shape = '<path d="M{x} {up}L{right} {y}L{x} {down}L{left} {y}Z" class="{style}"/>'
    marks = {"x": x, "y": y, "up": y - 6, "down": y + 6, "left": x - 6, "right": x + 6, "style": style}
    plot.parts.append(Markup(shape).format(**marks))


def _description(arms: Mapping[str, Any], panel: str) -> str:
    said = []
    for name, arm in arms.items():
        low, high = arm["interval"][panel]
        what = f"block {name}" if name.isdecimal() else name
        said.append(f"{what} {100 * _mean(arm, panel):.1f} percent ({100 * low:.1f} to {100 * high:.1f})")
    return "; ".join(said)


def _svg(title: str, description: str, parts: Sequence[Markup]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
        f"<title>{escape(title)}</title><desc>{escape(description)}</desc><style>{_STYLE}</style>"
        f'<rect width="{WIDTH}" height="{HEIGHT}" class="back"/>'
    )
    return head + "\n".join(str(part) for part in parts) + "</svg>\n"
