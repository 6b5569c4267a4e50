"""Small shops in WebShop's own files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def item(asin: str, name: str, **changes: Any) -> dict[str, Any]:
    record = {
        "asin": asin,
        "name": name,
        "category": "garden",
        "query": "Console tables",
        "product_category": "Home \u203a Furniture \u203a Tables",
        "full_description": "A table.",
        "small_description": ["solid wood", "easy clean"],
        "pricing": "$12.50",
        "customization_options": "",
        "images": ["https://example.org/1.jpg"],
    }
    return record | changes


def options(**values: list[str]) -> dict[str, Any]:
    return {name: [{"value": value, "image": None} for value in chosen] for name, chosen in values.items()}


def instruction(text: str, attributes: list[str], chosen: list[str]) -> dict[str, Any]:
    return {"instruction": text, "instruction_attributes": attributes, "instruction_options": chosen}


def written(
    folder: Path, items: list[dict[str, Any]], attributes: dict[str, Any], human: dict[str, Any] | None = None
) -> Path:
    (folder / "items_shuffle_1000.json").write_text(json.dumps(items))
    (folder / "items_ins_v2_1000.json").write_text(json.dumps(attributes))
    if human is not None:
        (folder / "items_human_ins.json").write_text(json.dumps(human))
    return folder
