"""Run benchmarks and write their output to RESULTS.md, each in its own section.

    python benchmarks/results.py              # all; takes hours
    python benchmarks/results.py icsd_loss    # one; the other sections do not change

A benchmark is a script of this folder that prints one section (``measuring.section``). Below each heading are
the date, the machine and the versions with which its numbers were measured.
"""

import argparse
import datetime
import os
import platform
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import torch
from measuring import machine

HERE = Path(__file__).parent
RESULTS = HERE / "RESULTS.md"
BENCHMARKS: tuple[str, ...] = (
    "icsd_loss",
    "methods",
    "step",
    "depthwise",
    "released_step",
    "teacher_cache",
    "startup",
    "tracking",
    "loader",
    "evaluation",
    "growth",
    "repro",
    "default_grid",
    "sequential",
)  # in the order of RESULTS.md
PACKAGES = ("torch", "torchvision", "dvc", "mlflow")
HEAD = """# Benchmarks

Measurements of speed, each section written by `python benchmarks/results.py`. The rows of a table were
measured in turns in one run, so their ratios can be compared; absolute times belong to the machine named
above the table. What was tried on the way, including failures, is in [NOTES.md](NOTES.md).
"""


def main() -> None:
    """Run the named benchmarks, or all, and rewrite their sections."""
    parser = argparse.ArgumentParser(description="Run benchmarks and write benchmarks/RESULTS.md")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    names = parser.parse_args().names or BENCHMARKS
    if unknown := [name for name in names if name not in BENCHMARKS]:
        parser.error(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    for name in names:
        printed = run(name)
        written = RESULTS.read_text(encoding="utf-8") if RESULTS.exists() else HEAD
        RESULTS.write_text(with_section(written, name, printed), encoding="utf-8")


def run(name: str, *options: str) -> str:
    """The section that a benchmark prints, with date, machine and versions below its heading."""
    root = HERE.parent
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(root / "src"), str(root)])}
    command = [sys.executable, str(HERE / f"{name}.py"), *options]
    printed = subprocess.run(
        command, cwd=root, env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    heading, _, rest = printed.stdout.strip().partition("\n")
    if not heading.startswith("## "):
        raise SystemExit(f"benchmarks/{name}.py must print a section that begins with `## `: {heading!r}")
    return f"{heading}\n\n{_where(name)}\n{rest}\n"


def with_section(written: str, name: str, section: str) -> str:
    """RESULTS.md with a benchmark's section replaced, or added in the order of BENCHMARKS."""
    head, *parts = re.split(r"^(?=<!-- \w+ -->$)", written, flags=re.MULTILINE)
    sections = {part.split()[1]: part.strip() for part in parts}
    sections[name] = f"<!-- {name} -->\n\n{section.strip()}"
    ordered = [sections[each] for each in BENCHMARKS if each in sections]
    return "\n\n".join([head.strip(), *ordered]) + "\n"


def _where(name: str) -> str:
    versions = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    today = datetime.date.today().isoformat()
    system = f"{platform.system()}, Python {platform.python_version()}"
    return (
        f"`PYTHONPATH=src:. python benchmarks/{name}.py`, {today}, "
        f"{machine()}, {os.cpu_count()} cores, {system}, {versions}."
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
