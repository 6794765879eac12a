"""The overhead of DVC: trivial stages and a tiny grid, under ``dvc repro`` and under ``run``.

``--long`` adds a graph of 300 stages; ``--quick`` uses one of 5 and leaves out the grid.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from measuring import interleaved, section
from tests.project import environment, make_project

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = {
    "`dvc repro`": [sys.executable, "-m", "dvc", "repro", "-q"],
    "`run -j 1`": [sys.executable, "-m", "pipeline", "run", "-j", "1"],
    "`run -j 2`": [sys.executable, "-m", "pipeline", "run", "-j", "2"],
}
SINGLE = "two × `dvc repro -s`"
"""The other way to run stages in parallel: one DVC process per stage."""
TEXT = (
    "Seconds, and in brackets how many times as fast as `dvc repro`. Trivial stages: one, then all others "
    "beside each other, then one that needs them all; `whole` runs them all, `no-op` none, `one changed` "
    f"two of them. {SINGLE} starts a process of DVC for every stage, two at a time. The grid is the tests' "
    "smallest one, of 12 real stages."
)


def main() -> None:
    """Print the section."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--long", action="store_true")
    options = parser.parse_args()
    sizes = [5] if options.quick else [22, 98, *([300] if options.long else [])]
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            row for size in sizes for row in _of_trivial(Path(folder), size, rounds=3 if size == 22 else 1)
        ]
        if not options.quick:
            rows.append(_of_grid(Path(folder)))
    header = ["stages", "`dvc repro`", SINGLE, "`run -j 1`", "`run -j 2`"]
    print(section("DVC and `run`", TEXT, header, rows))


def _of_trivial(folder: Path, size: int, *, rounds: int) -> list[list[str]]:
    start = _trivial(folder / f"start{size}", size)
    copies = {}
    for number, name in enumerate([*COMMANDS, SINGLE]):
        copies[name] = folder / f"copy{size}-{number}"
        shutil.copytree(start, copies[name])

    def of(prepare: Callable[[Path], None], name: str) -> Callable[[], None]:
        return partial(_prepared, prepare, copies[name], COMMANDS.get(name), size)

    rows = []
    for what, prepare, names in (
        ("whole", partial(_renew, start), [*COMMANDS, SINGLE]),
        ("no-op", _leave, list(COMMANDS)),
        ("one changed", _change, list(COMMANDS)),
    ):
        calls = {name: of(prepare, name) for name in names}
        rows.append(_row(f"{size}, {what}", interleaved(calls, rounds=rounds, warm_up=False)))
    return rows


def _of_grid(folder: Path) -> list[str]:
    start = make_project(
        folder / "grid", grid={"baselines": ["none", "kd"], "distilled": ["aicsd"], "seeds": [0]}
    )
    _run(start, ["git", "init", "-q"])

    def work(name: str) -> None:
        copy = folder / "grid-copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(start, copy)
        _run(copy, COMMANDS[name])

    seconds = interleaved({name: partial(work, name) for name in COMMANDS}, rounds=1, warm_up=False)
    return _row("tiny grid, whole", seconds)


def _row(title: str, seconds: dict[str, float]) -> list[str]:
    cells = {name: f"{value:.1f} ({seconds['`dvc repro`'] / value:.1f})" for name, value in seconds.items()}
    return [
        title,
        f"{seconds['`dvc repro`']:.1f}",
        *(cells.get(name, "–") for name in [SINGLE, *list(COMMANDS)[1:]]),
    ]


def _trivial(folder: Path, size: int) -> Path:
    """A repository of ``size`` trivial stages, without git."""
    (folder / "out").mkdir(parents=True)
    (folder / ".dvc").mkdir()
    (folder / ".dvc/config").write_text(
        "[core]\n    analytics = false\n    no_scm = true\n", encoding="utf-8"
    )
    (folder / ".dvcignore").write_text("/.state\n", encoding="utf-8")
    (folder / "code.txt").write_text("1\n", encoding="utf-8")
    stages = [_stage("first", "cp code.txt a.txt", ["code.txt"], "a.txt")]
    for number in range(size - 2):
        own, out = f"m{number}.txt", f"out/s{number}.txt"
        (folder / own).write_text("1\n", encoding="utf-8")
        stages.append(_stage(f"s{number}", f"cat a.txt {own} > {out}", ["a.txt", own], out))
    stages.append(_stage("last", "cat out/*.txt > z.txt", ["out"], "z.txt"))
    (folder / "dvc.yaml").write_text("stages:\n" + "".join(stages), encoding="utf-8")
    return folder


def _stage(name: str, command: str, needs: list[str], out: str) -> str:
    listed = "".join(f"      - {need}\n" for need in needs)
    return f"  {name}:\n    cmd: {command}\n    deps:\n{listed}    outs:\n      - {out}\n"


def _prepared(prepare: Callable[[Path], None], folder: Path, command: list[str] | None, size: int) -> None:
    prepare(folder)
    if command is not None:
        _run(folder, command)
        return
    single = [sys.executable, "-m", "dvc", "repro", "-q", "-s"]
    _run(folder, [*single, "first"])
    waiting = [f"s{number}" for number in range(size - 2)]
    # Parallel as by xargs; two processes that need DVC's lock wait for each other.
    names = "\n".join(waiting)
    subprocess.run(
        ["xargs", "-P", "2", "-I", "{}", *single, "{}"],
        input=names, cwd=folder, env=_environment(folder), text=True, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    _run(folder, [*single, "last"])


def _renew(start: Path, folder: Path) -> None:
    shutil.rmtree(folder)
    shutil.copytree(start, folder)


def _leave(_: Path) -> None:
    """Change nothing."""


def _change(folder: Path) -> None:
    own = folder / "m0.txt"
    own.write_text(f"{own.read_text(encoding='utf-8')}1\n", encoding="utf-8")


def _run(folder: Path, command: list[str]) -> None:
    done = subprocess.run(
        command, cwd=folder, env=_environment(folder), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stdout}{done.stderr}")


def _environment(folder: Path) -> dict[str, str]:
    own = environment(folder)
    if not (folder / "pipeline").is_dir():
        own["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    else:
        own.pop("PYTHONPATH", None)
    return own


if __name__ == "__main__":
    main()
