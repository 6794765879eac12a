"""Mutation testing: changes one operator or number at a time and runs the module's tests.

``PYTHONPATH=src:. python benchmarks/mutants.py --per-room 30``

Works in a copy of the repository. A mutant survives if all tests of its module pass. It is printed with its
line, and is either a gap in the tests or an equivalent mutant.
"""

import argparse
import ast
import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOMS = ("core", "methods", "reporting/statistics")
EXTRA = {
    "core": ("tests/methods/test_golden.py",),
    "methods": ("tests/methods/test_published.py", "tests/methods/test_golden.py"),
    "reporting/statistics": (),
}
SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Pow: ast.Mult,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.In: ast.NotIn,
}
_IN_FLOAT32 = "with torch.autocast(logits.device.type, enabled=False):"
EQUIVALENT = {
    # The logits are already float32, and autocast would lower no operation in the block.
    ("src/icsd/core/logits.py", _IN_FLOAT32, "False  [False -> True]"),
    ("src/icsd/core/supervision.py", _IN_FLOAT32, "False  [False -> True]"),
    # No float share gives exactly 0.995 %.
    (
        "src/icsd/core/health.py",
        "if percent == 0 or percent >= 0.995:",
        "percent >= 0.995  [GtE -> list]",
    ),
    # NaN fails ge=0, and infinity fails lt=1.
    (
        "src/icsd/methods/mgd.py",
        "Share = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]",
        "False  [False -> True]",
    ),
    # There is one match per name.
    (
        "src/icsd/reporting/statistics/resampling.py",
        "for name, match in zip(ids, found, strict=True):",
        "True  [True -> False]",
    ),
}
"""Equivalent mutants by file, line and change, with the reason; they are not drawn."""
SECONDS = 300


def main() -> None:
    """Print a line per mutant, and a summary per room."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--per-room", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rooms", nargs="+", default=ROOMS)
    arguments = parser.parse_args()
    import pandas  # noqa: F401 - imported once here, so that the forked children need not
    import scipy.stats  # noqa: F401
    import torch

    torch.set_num_threads(1)
    root = Path(tempfile.mkdtemp()) / "copy"
    here = Path.cwd()
    left_out = {".venv", ".git", ".dvc", "data", "runs"}  # of the repository, not of its packages
    shutil.copytree(here, root, ignore=lambda folder, names: left_out if Path(folder) == here else set())
    os.chdir(root)
    for room in arguments.rooms:
        _room(room, arguments.per_room, arguments.seed)
    shutil.rmtree(root.parent)


def _room(room: str, count: int, seed: int) -> None:
    places = [
        (path, number)
        for path in sorted(Path("src/icsd", room).glob("*.py"))
        for number, what in enumerate(_mutations(ast.parse(path.read_text())))
        if _described(path, what) not in EQUIVALENT
    ]
    chosen = random.Random(seed).sample(places, min(count, len(places)))  # noqa: S311 - a sample, no secret
    killed, sound = 0, set[Path]()
    for path, number in chosen:
        text, tests = path.read_text(), _tests(room, path)
        assert tests, f"{path} has no tests"
        if path not in sound:
            assert all(_pass([each]) for each in tests), f"the tests of {path} fail without any mutant"
            sound.add(path)
        tree = ast.parse(text)
        what = list(_mutations(tree, at=number))[number]
        path.write_text(ast.unparse(tree))
        noticed = not all(_pass([each]) for each in tests)  # its own tests first, as most mutants fail there
        path.write_text(text)
        killed += noticed
        print(f"{'killed' if noticed else 'SURVIVED'}: {path}:{what}", flush=True)
    print(f"{room}: {killed} of {len(chosen)} killed ({len(places)} places)", flush=True)


def _described(path: Path, what: str) -> tuple[str, str, str]:
    line, _, change = what.partition(": ")
    return str(path), path.read_text().splitlines()[int(line) - 1].strip(), change


def _mutations(tree: ast.Module, at: int | None = None) -> Iterator[str]:
    """Describe every possible mutation as text, and apply the one with index ``at``."""
    number = -1
    for node in list(_code(tree)):
        for name, old, new in _changes(node):
            number += 1
            line = f"{getattr(node, 'lineno', 0)}: {ast.unparse(node)[:70]}"
            if number == at:
                setattr(node, name, new)
            yield f"{line}  [{old} -> {new if isinstance(new, int | float) else type(new).__name__}]"


def _code(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes except annotations and decorators."""
    yield node
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _code(child)


def _changes(node: ast.AST) -> Iterator[tuple[str, str, object]]:
    if isinstance(node, ast.BinOp | ast.BoolOp | ast.AugAssign) and type(node.op) in SWAPS:
        yield "op", type(node.op).__name__, SWAPS[type(node.op)]()
    if isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPS:
        yield "ops", type(node.ops[0]).__name__, [SWAPS[type(node.ops[0])](), *node.ops[1:]]
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield "value", str(node.value), not node.value
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        yield "value", str(node.value), node.value + 1


def _tests(room: str, path: Path) -> list[str]:
    stem = "blocks" if path.stem == "__init__" else path.stem
    own = f"tests/{room}/test_{stem}.py"
    if room == "reporting/statistics":
        return [f"tests/{room}"]
    return [each for each in (own, *EXTRA[room]) if Path(each).exists()]


def _pass(tests: list[str]) -> bool:
    """Whether the tests pass, in a forked process with the libraries loaded; a timeout is a failure."""
    child = os.fork()
    if child == 0:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        os._exit(int(pytest.main(["-x", "-q", "-n", "0", "-p", "no:cacheprovider", *tests])))
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


if __name__ == "__main__":
    main()
