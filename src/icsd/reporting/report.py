"""A whole report folder from results: tables, figures, a page for people and one for the forge."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from icsd.files import folder_written_whole, write_bytes
from icsd.reporting import display, fidelity, pairs, recipes, tables
from icsd.reporting.answer import answer, cost_sentences
from icsd.reporting.health import health_sentences, loss_health
from icsd.reporting.protocol import protocol
from icsd.reporting.published import published_on
from icsd.reporting.results import ALONE, Results
from icsd.reporting.writers import to_csv, to_latex, to_markdown
from icsd.runs import TEACHER

README_FIGURES = ("miou_by_method", "per_class_iou", "panels")
"""Kinds of figures that README.md shows, of the first student."""


@dataclass(frozen=True)
class _Table:
    source: pd.DataFrame
    shown: display.Display


def write_report(
    results: Results,
    *,
    destination: Path,
    classes: Sequence[str],
    palette: NDArray[np.uint8],
    resamples: int,
    seed: int,
    focus: str | None = None,
    title: str | None = None,
) -> dict[str, Any]:
    """Writes the folder ``destination`` anew, all or nothing, and returns a summary.

    Everything is equal in identical runs except cost.*, provenance.csv, and of report.html their sections and
    the answer's last block.

    Args:
        results: From :func:`icsd.reporting.results.load_results`.
        destination: Replaced as a whole; gets report.html, README.md, tables, figures/, plots/.
        classes: Names of the C classes.
        palette: [C, 3] colours, 0..255.
        resamples: Of the bootstrap.
        seed: Of the bootstrap.
        focus: The method the report is about; ``aicsd``, or the grid's last method where that was not run.
        title: Heading; made from the dataset's name by default.

    Returns:
        ``{"dataset": …, "teacher": {"miou": …}, "<student>": {"<method>": {"miou": …, "std": …,
        "delta": …, "low": …, "high": …}}}``, fractions rounded to four decimals, null for gaps; ``low`` and
        ``high`` are the 95 % interval of ``delta``.
    """
    # Matplotlib and seaborn take a second to import: only here, so that reading results costs nothing.
    from icsd.reporting.course import courses
    from icsd.reporting.gallery import draw_all
    from icsd.reporting.html import to_html
    from icsd.reporting.plots import plot_tables

    focus = focus or ("aicsd" if "aicsd" in results.methods else results.methods[-1])
    title = title or f"Distilling segmentation networks: {results.dataset}"
    draws = tables.draw(results, resamples=resamples, seed=seed)
    compared = tables.comparison(results, draws)
    contrasted = tables.contrasts(results, draws, focus=focus)
    all_tables = _tables(results, compared, contrasted, focus=focus)
    pictures = list(
        draw_all(
            results,
            comparison=compared,
            per_class=all_tables["per_class"].source,
            classes=classes,
            palette=palette,
            focus=focus,
        )
    )
    blocks = [
        *answer(compared, contrasted, focus=focus, num_gaps=len(results.gaps)),
        *_unhealthy(all_tables),
    ]
    shown = {name: table.shown for name, table in all_tables.items()}
    page = to_html(
        title=title,
        subtitle=_subtitle(results),
        answer=[*blocks, *cost_sentences(all_tables["cost"].source, focus=focus)],
        tables=shown,
        pictures=pictures,
        courses=courses(results, classes, focus=focus),
        gaps=results.gaps,
    )
    files: dict[str, bytes] = {"report.html": page.encode()}
    for name, table in all_tables.items():
        files[f"{name}.csv"] = to_csv(table.source).encode()
        if name != "provenance":
            files[f"{name}.md"] = to_markdown(table.shown).encode()
            files[f"{name}.tex"] = to_latex(table.shown).encode()
    files |= {f"figures/{picture.name}.png": picture.png for picture in pictures}
    files |= {
        f"plots/{name}.csv": to_csv(table).encode()
        for name, table in plot_tables(results, focus=focus).items()
    }
    chosen = [_first(kind, [picture.name for picture in pictures]) for kind in README_FIGURES]
    files["README.md"] = _readme(
        title, blocks, shown, [name for name in chosen if name], results.gaps
    ).encode()
    with folder_written_whole(destination) as folder:
        for name, content in files.items():
            write_bytes(folder / name, content)
    return summary(compared, dataset=results.dataset)


def summary(comparison: pd.DataFrame, *, dataset: str) -> dict[str, Any]:
    """The few numbers that a table of experiments shows; fractions, null for gaps."""
    found: dict[str, Any] = {"dataset": dataset}
    for row in comparison.to_dict("records"):
        numbers = {"miou": _fraction(row["miou_mean"])}
        if row["method"] == TEACHER:
            found[TEACHER] = numbers
            continue
        numbers["std"] = _fraction(row["miou_std"])
        if row["method"] != ALONE:
            numbers |= {
                name: _fraction(row[f"delta_{column}"])
                for name, column in (("delta", "mean"), ("low", "low"), ("high", "high"))
            }
        found.setdefault(row["student"], {})[row["method"]] = numbers
    return found


def _tables(
    results: Results, compared: pd.DataFrame, contrasted: pd.DataFrame, *, focus: str
) -> dict[str, _Table]:
    per_class, costs = tables.per_class(results), tables.cost(results)
    card, origin = protocol(results), tables.provenance(results)
    trained = next((run.training for run in results.runs.values() if run.training), None)
    elsewhere = published_on(results.dataset, trained)
    found = {"comparison": _Table(compared, display.show_comparison(compared))}
    if len(contrasted):
        found["contrasts"] = _Table(contrasted, display.show_contrasts(contrasted))
    parts = recipes.ablation(results, compared)
    if len(parts):
        found["ablation"] = _Table(parts, display.show_ablation(parts))
    made = recipes.methods(results)
    found["methods"] = _Table(made, display.show_methods(made))
    health = loss_health(results)
    if len(health):
        found["health"] = _Table(health, display.show_health(health))
    ledger = fidelity.ledger(results)
    shown = display.show_texts("fidelity", "Fidelity ledger", ledger, fidelity.HEADERS, len(fidelity.HEADERS))
    found["fidelity"] = _Table(ledger, replace(shown, notes=fidelity.NOTES))
    mixed_up = pairs.class_pairs(results, focus=focus)
    if len(mixed_up):
        found["pairs"] = _Table(mixed_up, pairs.show_pairs(mixed_up))
    found["per_class"] = _Table(per_class, display.show_per_class(per_class))
    found["cost"] = _Table(costs, display.show_cost(costs))
    headers = ("Setting", "Teacher", "Students")
    found["protocol"] = _Table(card, display.show_texts("protocol", "Protocol", card, headers, 3))
    if len(elsewhere):
        found["published"] = _Table(elsewhere, display.show_published(elsewhere))
    found["provenance"] = _Table(origin, display.show_provenance(origin))
    return found


def _unhealthy(found: dict[str, _Table]) -> list[list[str]]:
    """A block of the answer about loss terms that did nothing, or everything; none where all is well."""
    remarks = health_sentences(found["health"].source) if "health" in found else []
    return [["Loss terms to look at before their methods' rows are believed:", *remarks]] if remarks else []


def _subtitle(results: Results) -> str:
    metrics = next((run.metrics for run in results.evaluated() if run.metrics), None)
    kinds = {"method": results.methods, "student network": results.students, "seed": results.seeds}
    grid = ", ".join(f"{len(each)} {kind}{'s' if len(each) != 1 else ''}" for kind, each in kinds.items())
    where = f", reported on {metrics.num_images} images of the split {metrics.split}" if metrics else ""
    return f"Dataset {results.dataset}{where}; {grid}."


def _readme(
    title: str,
    blocks: Sequence[Sequence[str]],
    shown: dict[str, display.Display],
    figures: Sequence[str],
    gaps: Sequence[str],
) -> str:
    """The page a forge shows for the folder; without costs, so that identical runs write identical bytes."""
    sentences = [f"**{text}**" if text is block[0] else text for block in blocks for text in block]
    parts = [f"# {title}", *sentences, "## Comparison", to_markdown(shown["comparison"])]
    for name in ("contrasts", "ablation"):
        if name in shown:
            parts += [f"## {shown[name].title}", to_markdown(shown[name])]
    parts += [f"![{name.replace('_', ' ')}](figures/{name}.png)" for name in figures]
    parts += [
        "## IoU per class",
        to_markdown(shown["per_class"]),
        "## Methods",
        to_markdown(shown["methods"]),
        *([f"## {shown['health'].title}", to_markdown(shown["health"])] if "health" in shown else []),
        "## Protocol",
        to_markdown(shown["protocol"]),
    ]
    if gaps:
        parts += ["## Gaps", "\n".join(f"- `{gap}`" for gap in gaps)]
    parts.append("All figures and tables: [report.html](report.html) (save it and open it), [cost](cost.md).")
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def _first(kind: str, names: Sequence[str]) -> str | None:
    return next((name for name in names if name.startswith(kind)), None)


def _fraction(percent: float) -> float | None:
    return None if pd.isna(percent) else round(percent / 100, 4)
