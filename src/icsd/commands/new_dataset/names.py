"""Reads class names from files that tools write, such as classes.txt, labelmap.txt, id2label.json."""

import csv
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from icsd.datasets.base import Colour
from icsd.datasets.reading.lists import read_list
from icsd.errors import UserError
from icsd.yaml_files import read_yaml

FILES = (
    *("labelmap.txt", "_classes.csv", "class_dict.csv", "classes.csv", "labels.csv", "label_colors.txt"),
    *("id2label.json", "dataset.json", "classes.json", "labels.json", "label2id.json", "meta.json"),
    *("classes.txt", "labels.txt", "class_names.txt", "codes.txt", "names.txt", "data.yaml", "dataset.yaml"),
)
"""Known files in order of preference: those with numbers or colours first."""
_DEEPEST = 3
_NUMBERED = re.compile(r"^\s*(\d+)\s*[:;,=\t ]\s*(.+?)\s*$")
_COLOURED = re.compile(
    r"^(?:(\d+)[\s,;]+(\d+)[\s,;]+(\d+)[\s,;:]+(.+)|(.+?)[\s,;:]+(\d+)[\s,;]+(\d+)[\s,;]+(\d+)\b.*)$"
)

Value = int | Colour


@dataclass(frozen=True)
class Named:
    """Names by value, and the file that they come from.

    Attributes:
        file: Path below the folder, for messages; "" without one.
        names: Number or colour -> name.
        counted: Whether the numbers are line numbers that are not written in the file.
        notes: Notes about files that look like such files but are not.
    """

    file: str = ""
    names: Mapping[Value, str] = field(default_factory=dict)
    counted: bool = False
    notes: tuple[str, ...] = ()


def class_names_below(root: Path) -> Named:
    """The names in the first file of a known kind; no names if there is none."""
    by_name: dict[str, list[Path]] = {}
    for path in sorted(root.rglob("*"), key=lambda path: (len(path.parts), path)):
        if len(path.relative_to(root).parts) <= _DEEPEST and path.name.casefold() in FILES and path.is_file():
            by_name.setdefault(path.name.casefold(), []).append(path)
    notes = []
    for name in FILES:
        for path in by_name.get(name, []):
            shown = path.relative_to(root).as_posix()
            try:
                names, counted = _read(path)
            except (UserError, ValueError, LookupError, TypeError, AttributeError, csv.Error) as error:
                notes.append(
                    f"{shown} holds no names that can be read ({str(error) or type(error).__name__})"
                )
                continue
            if len(names) > 1:
                return Named(shown, _distinct(names), counted, tuple(notes))
            notes.append(f"{shown} holds no names of classes")
    return Named("", {}, notes=tuple(notes))


def _read(path: Path) -> tuple[dict[Value, str], bool]:
    if path.suffix.lower() == ".json":
        return _from_tree(json.loads(path.read_bytes()))
    if path.suffix.lower() == ".yaml":
        return _from_tree(read_yaml(path))
    lines = [line for line in read_list(path) if not line.startswith("#")]
    return _from_table(lines) if path.suffix.lower() == ".csv" else _from_lines(lines)


def _from_lines(lines: list[str]) -> tuple[dict[Value, str], bool]:
    """Read ``name:r,g,b:…``, ``r g b name``, ``3: name``, or one name per line, numbered from 0."""
    coloured = [_COLOURED.match(line) for line in lines]
    if all(coloured) and lines:
        found = [match.groups() for match in coloured if match]
        return {_colour(g[0:3] if g[3] else g[5:8]): str(g[3] or g[4]).strip(" :") for g in found}, False
    numbered = [_NUMBERED.match(line) for line in lines]
    if all(numbered) and lines:
        return {int(match[1]): match[2] for match in numbered if match}, False
    return dict(enumerate(lines)), True


def _from_table(lines: list[str]) -> tuple[dict[Value, str], bool]:
    rows = [[cell.strip() for cell in row] for row in csv.reader(lines)]
    header = [cell.casefold() for cell in rows[0]]
    name = next(
        (i for i, cell in enumerate(header) if cell in {"name", "class", "label", "class name"}), None
    )
    if name is None:
        raise ValueError("no column called name or class")
    channels = [
        next((i for i, cell in enumerate(header) if cell in {c, c[0]}), None)
        for c in ("red", "green", "blue")
    ]
    if all(channel is not None for channel in channels):
        return {_colour([row[i] for i in channels if i is not None]): row[name] for row in rows[1:]}, False
    ids = {"pixel value", "id", "value", "index", "class_id"}
    number = next((i for i, cell in enumerate(header) if cell in ids), None)
    if number is None:
        return {place: row[name] for place, row in enumerate(rows[1:])}, True
    return {int(row[number]): row[name] for row in rows[1:]}, False


def _from_tree(tree: Any) -> tuple[dict[Value, str], bool]:  # noqa: ANN401 - whatever JSON holds
    if isinstance(tree, list):
        if all(isinstance(entry, str) for entry in tree):
            return dict(enumerate(tree)), True
        return _from_entries(tree)
    for key in ("id2label", "labels", "classes", "names", "categories", "label2id"):
        if isinstance(tree.get(key), dict | list):
            return _from_tree(tree[key])
    if all(str(key).isdecimal() for key in tree):
        return {int(key): str(name) for key, name in tree.items()}, False
    if all(isinstance(value, int) or str(value).isdecimal() for value in tree.values()):
        return {int(value): str(name) for name, value in tree.items()}, False
    raise ValueError("neither a list of names nor numbers with names")


def _from_entries(entries: Iterable[Mapping[str, Any]]) -> tuple[dict[Value, str], bool]:
    """``[{id, name, color}, …]``; colours as ``#rrggbb`` or three numbers."""
    names: dict[Value, str] = {}
    counted = False
    for place, entry in enumerate(entries):
        name = str(entry.get("name") or entry.get("title") or entry["label"])
        number = entry.get("id", entry.get("value"))
        counted = counted or number is None
        names[place if number is None else int(number)] = name
    return names, counted


def _colour(parts: Iterable[object]) -> Colour:
    red, green, blue = (int(str(part)) for part in parts)
    if not all(0 <= channel <= 255 for channel in (red, green, blue)):
        raise ValueError(f"{red}, {green}, {blue} is no colour")
    return red, green, blue


def _distinct(names: Mapping[Value, str]) -> dict[Value, str]:
    """Make names unique: a repeated name gets a number."""
    taken: dict[str, int] = {}
    distinct: dict[Value, str] = {}
    for value, name in names.items():
        taken[name] = taken.get(name, 0) + 1
        distinct[value] = name if taken[name] == 1 else f"{name}_{taken[name]}"
    return distinct
