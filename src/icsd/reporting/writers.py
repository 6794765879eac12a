"""Tables -> CSV, Markdown and LaTeX, equal bytes for equal tables."""

import pandas as pd

from icsd.reporting.display import Display

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
    """Every column of the source, six significant digits, empty for a gap."""
    return table.to_csv(index=False, float_format="%.6g", lineterminator="\n")


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
    """A booktabs tabular; the notes follow as comments' plain text below it."""

    def line(cells: list[str]) -> str:
        return " & ".join(escape_latex(cell) for cell in cells) + r" \\"

    columns = "l" * display.num_labels + "r" * (len(display.headers) - display.num_labels)
    lines = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", line(list(display.headers)), r"\midrule"]
    lines += [line([cell.text for cell in row]) for row in display.rows]
    lines += [r"\bottomrule", r"\end{tabular}"]
    lines += [rf"\par\footnotesize {escape_latex(note)}" for note in display.notes]
    return "\n".join(lines) + "\n"


def escape_latex(text: str) -> str:
    """Text as LaTeX prints it literally."""
    return "".join(_LATEX.get(character, character) for character in text)
