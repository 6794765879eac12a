"""CONTRIBUTING.md agrees with the rules, the tree and the task list."""

import re
import tomllib

from tests.docs.markdown import CODE_SPAN, code_blocks, section
from tests.imports import ROOT
from tests.test_architecture import ALLOWED

PAGE = ROOT / "CONTRIBUTING.md"
ENTRY = "pipeline"


def floors() -> list[list[str]]:
    """Rooms per floor, the lowest first; a room's name and what it is for are two spaces apart, or more."""
    rows = code_blocks(PAGE, "text")[0].splitlines()
    words = [re.split(r" {2,}", row.strip())[:-1] for row in reversed(rows)]
    assert all(words)
    return words


def test_every_room_is_on_one_floor() -> None:
    rooms = [room for floor in floors() for room in floor]
    assert sorted(rooms) == sorted([*ALLOWED, ENTRY])
    assert floors()[-1] == [ENTRY]


def test_rooms_import_from_lower_floors_only() -> None:
    ground, *upper = floors()
    height = {room: (0, place) for place, room in enumerate(ground)}
    height |= {room: (level, 0) for level, floor in enumerate(upper, start=1) for room in floor}
    for room, allowed in ALLOWED.items():
        assert all(height[other] < height[room] for other in allowed), room


def test_what_to_touch_exists() -> None:
    rows = section(PAGE, "To change X, touch these files").splitlines()
    named = {span for row in rows for span in CODE_SPAN.findall(row)}
    paths = {span for span in named if "/" in span or span.endswith((".yaml", ".toml", ".lock"))}
    assert paths
    assert not sorted(path for path in paths if not (ROOT / path).exists())


def test_the_tasks_are_those_of_pyproject() -> None:
    tasks = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["poe"]["tasks"]
    described = {match[1] for match in re.finditer(r"`poe ([\w-]+)`", section(PAGE, "Tasks"))}
    assert described == tasks.keys()


def test_the_glossary_is_in_order() -> None:
    words = re.findall(r"^\| (\w[^|]*?) \|", section(PAGE, "Glossary"), re.MULTILINE)[1:]
    assert words == sorted(words, key=str.lower)
