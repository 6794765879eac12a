"""Read and write YAML exactly as DVC does, so that code and DVC see the same values.

DVC reads params.yaml itself to decide what has to run again and to fill in ``dvc.yaml``. It uses ruamel.yaml
in safe mode, hence YAML 1.2: ``010`` is ten, ``on`` and ``12:30`` are text, ``1e-3`` is a number, and a
repeated key is an error. This module reads with the same settings.
"""

import io
import re
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import ConstructorError, DuplicateKeyError, SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import Node
from ruamel.yaml.reader import ReaderError

from icsd.errors import UserError

_CONFLICT = re.compile(rb"^<{7}(?: |\r?$)", re.MULTILINE)
_CONFLICT_END = re.compile(rb"^>{7}(?: |\r?$)", re.MULTILINE)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that contains a mapping.

    Raises:
        UserError: The file is missing, unreadable, not YAML, or not a mapping; names the file and, if there
            is one, the line.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run from the root of the repository") from None
    except IsADirectoryError:
        raise UserError(f"{path}: is a folder; there must be a YAML file of this name") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    return parse_yaml(content, path)


def parse_yaml(content: bytes, path: Path) -> dict[str, Any]:
    """Parse YAML that contains a mapping; ``path`` is only used in messages.

    Raises:
        UserError: See ``read_yaml``.
    """
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path}: line {line}: byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8"
        ) from None
    try:
        value = _reader().load(text)
    except YAMLError as error:
        raise UserError(f"{path}: {conflict_in(content, path) or _explain(error, text)}") from None
    except RecursionError:
        raise UserError(f"{path}: not YAML that anyone can read: nested too deeply") from None
    except TypeError as error:  # ruamel completes a mapping outside construct_object, see _Constructor
        raise UserError(f"{path}: not YAML: a key must be a word or a number ({error})") from None
    if not isinstance(value, dict):
        held = "nothing" if value is None else "a list" if isinstance(value, list) else "a single value"
        raise UserError(f"{path}: must hold key: value lines, but holds {held}")
    return value


def conflict_in(content: bytes, path: Path) -> str | None:
    """What to do about git's conflict markers in a file; None if there are none."""
    begin, end = _CONFLICT.search(content), _CONFLICT_END.search(content)
    if not begin or not end:
        return None
    line = content.count(b"\n", 0, begin.start()) + 1
    return (
        f"line {line}: git could not merge this file; keep one side with `git checkout --ours {path.name}` "
        "or `--theirs`, or edit the lines between <<<<<<< and >>>>>>>"
    )


def yaml_text(tree: Any) -> str:  # noqa: ANN401 - whatever YAML can hold
    """``tree`` in the layout of YAML files written by DVC."""
    writer = YAML()
    writer.default_flow_style = False
    stream = io.StringIO()
    writer.dump(tree, stream)
    return stream.getvalue()


class _Constructor(SafeConstructor):
    """The safe constructor, which also reports the line of a value that cannot be converted (``!!int x``)."""

    def construct_object(self, node: Node, deep: bool = False) -> Any:  # noqa: ANN401
        try:
            return super().construct_object(node, deep=deep)
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
            raise ConstructorError(
                problem=f"not a valid value: {error}", problem_mark=node.start_mark
            ) from error


def _reader() -> YAML:
    reader = YAML(typ="safe")
    reader.Constructor = _Constructor
    return reader


def _explain(error: YAMLError, text: str) -> str:
    """What is wrong, in one line that starts with the line number."""
    if isinstance(error, ReaderError):
        line = text.count("\n", 0, error.position) + 1
        return f"line {line}: character U+{error.character:04X} is not allowed in YAML; remove it"
    if not isinstance(error, MarkedYAMLError):
        return f"not YAML: {error}"
    mark = error.problem_mark or error.context_mark
    where = f"line {mark.line + 1}: " if mark else ""
    problem = error.problem or "cannot be parsed"
    if isinstance(error, DuplicateKeyError):
        key = problem.removeprefix('found duplicate key "').split('" with value ')[0]
        return f"{where}{key} is given twice"
    if problem.startswith("but "):
        problem = f"{error.context}, {problem}"
    if "'\\t'" in problem:
        return f"{where}a tab where YAML allows only spaces; indent with spaces"
    return f"{where}not YAML: {problem}"
