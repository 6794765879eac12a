"""What a module of the project imports, read from its source."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src"


@cache
def imports_of(path: Path) -> frozenset[Path]:
    """Source files of the project that a file imports anywhere in it; a package stands for its __init__."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {module_file(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(module_file(node.module))
            found |= {module_file(f"{node.module}.{alias.name}") for alias in node.names}
    return frozenset(found - {None, path})


def module_file(name: str) -> Path | None:
    """The file of a module ``icsd.…`` or ``pipeline``; None for anything else."""
    if name.split(".")[0] not in ("icsd", "pipeline"):
        return None
    base = (SOURCE if name.startswith("icsd") else ROOT).joinpath(*name.split("."))
    if base.with_suffix(".py").is_file():
        return base.with_suffix(".py")
    return base / "__init__.py" if (base / "__init__.py").is_file() else None


def reached_from(path: Path, *, stop: frozenset[Path] = frozenset()) -> set[Path]:
    """All files that ``path`` imports, directly or through others; what is in ``stop`` is not followed."""
    reached: set[Path] = set()
    waiting = [path]
    while waiting:
        for imported in imports_of(waiting.pop()):
            if imported not in reached and imported not in stop:
                reached.add(imported)
                waiting.append(imported)
    return reached
