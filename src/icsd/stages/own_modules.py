"""The source files of a network's own class: its module, and what that imports from the repository."""

import ast
from collections.abc import Iterator
from importlib.util import find_spec, resolve_name
from pathlib import Path


def files_of_module(root: Path, module: str) -> dict[str, Path]:
    """Dotted name -> file, of a module and of what it imports from the repository; nothing of it is run.

    Args:
        root: The repository.
        module: Below ``root``, or an installed one, of which its own file alone counts: what lies beside it
            changes with its version.

    Returns:
        Nothing where there is no such module.
    """
    file = source_file(root, module)
    if file is None or not file.is_relative_to(root):
        return {} if file is None else {module: file}
    found: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        file = _below(root, name)
        if file is None or name in found:
            continue
        found[name] = file
        waiting += [name.rpartition(".")[0], *_imported(file, name)]
    return dict(sorted(found.items()))


def source_file(root: Path, module: str) -> Path | None:
    """The file of a module below ``root``, or else of an installed one; nothing of it is run."""
    if (file := _below(root, module)) is not None:
        return file
    try:
        spec = find_spec(module)
    except (ImportError, ValueError, AttributeError):
        return None
    return Path(spec.origin) if spec and spec.origin and Path(spec.origin).is_file() else None


def _below(root: Path, module: str) -> Path | None:
    if not module:
        return None
    base = root.joinpath(*module.split("."))
    return next((file for file in (base.with_suffix(".py"), base / "__init__.py") if file.is_file()), None)


def _imported(file: Path, name: str) -> Iterator[str]:
    """What a file imports anywhere in it; some of the names are those of a class or a function."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):  # said by who builds the network
        return
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            try:
                base = resolve_name("." * node.level + (node.module or ""), package)
            except ImportError:  # beyond the topmost package; likewise
                continue
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
