"""Pages that need nothing but themselves: style and script stand inside, and a policy in the page forbids the rest.

Every value is escaped by the template engine, and characters that a reader cannot see (controls, overrides of the
reading direction, halves of surrogate pairs) are written out, so that no text can pose as another. The page's own
script does the same with `templates/page.js`. The content security policy names style and script by their hashes and
allows nothing else: the page can reach no network, and nothing that an episode says can run.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

TEMPLATES = Path(__file__).parents[1] / "templates"

# As in templates/page.js. Joiners (U+200C, U+200D) stay: Persian and emoji need them.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]|\r(?!\n)"
)


def visible(text: str) -> str:
    """Writes characters that cannot be seen as their numbers, U+202E as "[U+202E]"."""
    return _UNSEEN.sub(lambda found: f"[U+{ord(found[0]):04X}]", text)


def write_page(
    path: Path, template: str, variables: Mapping[str, Any], *, styles: Sequence[str], scripts: Sequence[str]
) -> Path:
    """Renders a template into a file, which appears whole or not at all.

    Args:
        path: the file.
        template: its name; it extends `page.html`.
        variables: what it shows.
        styles: files of the templates' folder that make up the style, in order.
        scripts: files of the templates' folder that make up the script, in order.

    Returns:
        The path.
    """
    page = render(template, variables, styles=styles, scripts=scripts)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(path.name + ".part")
    aside.write_text(page, encoding="utf-8")
    os.replace(aside, path)
    return path


def render(template: str, variables: Mapping[str, Any], *, styles: Sequence[str], scripts: Sequence[str]) -> str:
    """Renders a template; arguments as of `write_page`."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    style, script = _joined(styles), _joined(scripts)
    whole = {
        **variables,
        "style": Markup(style),
        "script": Markup(script),
        "style_hash": _hash(style),
        "script_hash": _hash(script),
    }
    return environment.get_template(template).render(whole)


def picture(svg: str) -> str:
    """An SVG with a style of its own as an address for `<img>`: there it can neither run nor reach anything."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode("utf-8")).decode("ascii")


def _finalize(value: Any) -> Any:  # noqa: ANN401
    """Applied by the template engine to whatever a template shows, before it escapes."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _joined(names: Sequence[str]) -> str:
    return "\n" + "\n".join((TEMPLATES / name).read_text(encoding="utf-8") for name in names)


def _hash(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode("utf-8")).digest()).decode("ascii")
