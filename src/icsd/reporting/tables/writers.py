"""Tables as CSV, Markdown and LaTeX: equal bytes for equal tables."""

from pathlib import Path

import pandas as pd

from icsd.reporting.tables.cells import Display

_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    "−": r"$-$",
    "Δ": r"$\Delta$",
    "×": r"$\times$",
    "‖": r"$\|$",
    "–": "--",
    "α": r"$\alpha$",
}


def to_csv(table: pd.DataFrame) -> str:
    """All columns as CSV, with six significant digits and empty cells for gaps."""
    return table.to_csv(index=False, float_format="%.6g", lineterminator="\n")


def read_csv(path: Path) -> pd.DataFrame:
    """Read a table of :func:`to_csv`; only empty cells are gaps, not texts such as the method ``none``."""
    return pd.read_csv(path, keep_default_na=False, na_values=[""])


def to_markdown(display: Display) -> str:
    """A pipe table with its notes below."""

    def line(cells: list[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    num_numbers = len(display.headers) - display.num_labels
    rule = "|" + " --- |" * display.num_labels + " ---: |" * num_numbers
    lines = [line(list(display.headers)), rule]
    lines += [line([cell.text for cell in row]) for row in display.rows]
    lines += ["", *(f"- {note}" for note in display.notes)] if display.notes else []
    return "\n".join(lines) + "\n"


def to_latex(display: Display) -> str:
    """A booktabs tabular, followed by the notes in small print."""

    def line(cells: list[str]) -> str:
        return " & ".join(escape_latex(cell) for cell in cells) + r" \\"

    columns = "l" * display.num_labels + "r" * (len(display.headers) - display.num_labels)
    lines = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", line(list(display.headers)), r"\midrule"]
    lines += [line([cell.text for cell in row]) for row in display.rows]
    lines += [r"\bottomrule", r"\end{tabular}"]
    lines += [rf"\par\footnotesize {escape_latex(note)}" for note in display.notes]
    return "\n".join(lines) + "\n"


def escape_latex(text: str) -> str:
    """Escape text so that LaTeX prints it literally."""
    return "".join(_LATEX.get(character, character) for character in text)
