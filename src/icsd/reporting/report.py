"""Writes a whole report folder from results: tables, figures, report.html and the code host's README.md."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from icsd.files import folder_written_whole, write_bytes
from icsd.reporting.deployed import Deployed
from icsd.reporting.differences import Resampled, resample
from icsd.reporting.page.answer import answer, cost_sentences
from icsd.reporting.page.budget import budget_sentences
from icsd.reporting.page.readme import to_readme
from icsd.reporting.page.setting import setting
from icsd.reporting.results import ALONE, Results
from icsd.reporting.tables import (
    ablation,
    comparison,
    contrasts,
    cost,
    decisions,
    deployment,
    fidelity,
    health,
    methods,
    pairs,
    per_class,
    protocol,
    provenance,
    published,
)
from icsd.reporting.tables.cells import Display
from icsd.reporting.tables.writers import to_csv, to_latex, to_markdown
from icsd.runs import TEACHER

DISPLAYS: Mapping[str, Callable[[pd.DataFrame], Display]] = {
    "comparison": comparison.display,
    "decisions": decisions.display,
    "contrasts": contrasts.display,
    "deployment": deployment.display,
    "ablation": ablation.display,
    "methods": methods.display,
    "health": health.display,
    "fidelity": fidelity.display,
    "pairs": pairs.display,
    "per_class": per_class.display,
    "cost": cost.display,
    "protocol": protocol.display,
    "published": published.display,
    "provenance": provenance.display,
}
"""Table name, also that of its files -> the function that formats its rows."""
OPTIONAL = frozenset({"contrasts", "decisions", "deployment", "ablation", "health", "pairs", "published"})
"""Tables that are left out where they have no rows."""


def write_report(
    results: Results,
    *,
    destination: Path,
    classes: Sequence[str],
    palette: NDArray[np.uint8],
    resamples: int,
    seed: int,
    rope: float,
    clips: str | None = None,
    focus: str | None = None,
    title: str | None = None,
    deployed: Deployed | None = None,
) -> dict[str, Any]:
    """Writes the folder ``destination`` anew, all or nothing, and returns a summary.

    Identical runs give identical files, except for cost.*, provenance.csv, their sections and the answer's
    last block in report.html, and the durations of exported files.

    Args:
        results: From :func:`icsd.reporting.reading.load_results`.
        destination: Replaced as a whole by report.html, README.md, tables, figures/ and plots/.
        classes: Names of the C classes.
        palette: [C, 3] colours, 0..255.
        resamples: Number of bootstrap resamples.
        seed: Seed of the bootstrap.
        rope: Differences smaller than this are negligible, in points of mIoU.
        clips: Pattern of the clip's name at the start of an image's name; None if images are independent.
        focus: The method the report is about; by default ``aicsd``, or the last method of a grid without it.
        title: Heading; made from the dataset's name by default.
        deployed: The champions' exported files; None if there are none.

    Returns:
        ``{"dataset": …, "teacher": {"miou": …}, "<student>": {"<method>": {"miou": …, "std": …,
        "delta": …, "low": …, "high": …}}}``, fractions rounded to four decimals, null for gaps; ``low`` and
        ``high`` are the 95 % interval of ``delta``.
    """
    # Matplotlib and seaborn take a second to import: only here, so that reading results costs nothing.
    from icsd.reporting.dvc_plots import plot_tables
    from icsd.reporting.figures.gallery import pictures
    from icsd.reporting.page.html import to_html
    from icsd.reporting.page.slider import similarity_histories

    focus = focus or ("aicsd" if "aicsd" in results.methods else results.methods[-1])
    title = title or f"Distilling segmentation networks: {results.dataset}"
    resampled = resample(results, resamples=resamples, seed=seed, clips=clips)
    rows = table_rows(results, resampled, focus=focus, rope=rope, deployed=deployed)
    tables = {
        name: display(rows[name])
        for name, display in DISPLAYS.items()
        if len(rows[name]) or name not in OPTIONAL
    }
    tables["comparison_details"] = comparison.details(rows["comparison"])
    blocks = _answer(rows, focus=focus, num_gaps=len(results.gaps)) + budget_sentences(results)
    figures = list(
        pictures(
            results,
            comparison=rows["comparison"],
            decisions=rows["decisions"],
            per_class=rows["per_class"],
            deployment=rows["deployment"],
            classes=classes,
            palette=palette,
            focus=focus,
        )
    )
    page = to_html(
        title=title,
        setting=setting(results),
        answer=[*blocks, *cost_sentences(rows["cost"], focus=focus)],
        tables=tables,
        pictures=figures,
        similarity=similarity_histories(results, classes, focus=focus),
        gaps=results.gaps,
    )
    readme = to_readme(
        title=title,
        setting=setting(results),
        answer=blocks,
        tables=tables,
        figures=[picture.name for picture in figures],
        gaps=results.gaps,
    )
    texts = {"report.html": page, "README.md": readme}
    texts |= {f"plots/{name}.csv": to_csv(plot) for name, plot in plot_tables(results, focus=focus).items()}
    for name, table in tables.items():
        texts |= _table_files(name, rows.get(name), table)
    texts["differences.csv"] = to_csv(rows["differences"])
    images = {f"figures/{picture.name}.png": picture.png for picture in figures}
    with folder_written_whole(destination) as folder:
        for name, content in ({name: text.encode() for name, text in texts.items()} | images).items():
            write_bytes(folder / name, content)
    return summary(rows["comparison"], dataset=results.dataset)


def table_rows(
    results: Results, resampled: Resampled, *, focus: str, rope: float, deployed: Deployed | None = None
) -> dict[str, pd.DataFrame]:
    """The rows of every table of ``DISPLAYS``, and ``differences``, which is only written as CSV.

    Args:
        results: Results of a grid.
        resampled: From :func:`icsd.reporting.differences.resample`.
        focus: The method the report is about.
        rope: Differences smaller than this are negligible, in points of mIoU.
        deployed: The champions' exported files; None if there are none.
    """
    compared = comparison.rows(results, resampled)
    trained = next((run.training for run in results.runs.values() if run.training), None)
    return {
        "comparison": compared,
        "decisions": decisions.rows(results, resampled, rope=rope),
        "contrasts": contrasts.rows(results, resampled, focus=focus),
        "differences": contrasts.all_rows(results, resampled),
        "deployment": deployment.rows(results, deployed, resampled, rope=rope),
        "ablation": ablation.rows(results, compared),
        "methods": methods.rows(results),
        "health": health.rows(results),
        "fidelity": fidelity.rows(results, resampled),
        "pairs": pairs.rows(results, focus=focus),
        "per_class": per_class.rows(results),
        "cost": cost.rows(results),
        "protocol": protocol.rows(results),
        "published": published.rows(results.dataset, trained),
        "provenance": provenance.rows(results),
    }


def summary(comparison: pd.DataFrame, *, dataset: str) -> dict[str, Any]:
    """The few numbers that a table of experiments shows; fractions, null for gaps."""
    scores: dict[str, Any] = {"dataset": dataset}
    for row in comparison.to_dict("records"):
        numbers = {"miou": _fraction(row["miou_mean"])}
        if row["method"] == TEACHER:
            scores[TEACHER] = numbers
            continue
        numbers["std"] = _fraction(row["miou_std"])
        if row["method"] != ALONE:
            numbers |= {
                name: _fraction(row[f"delta_{column}"])
                for name, column in (("delta", "mean"), ("low", "low"), ("high", "high"))
            }
        scores.setdefault(row["student"], {})[row["method"]] = numbers
    return scores


def _answer(rows: Mapping[str, pd.DataFrame], *, focus: str, num_gaps: int) -> list[list[str]]:
    """The answer, exported files that lose mIoU, and loss terms that need a look."""
    blocks = answer(rows["comparison"], rows["contrasts"], rows["decisions"], focus=focus, num_gaps=num_gaps)
    if lost := deployment.losses(rows["deployment"]):
        blocks.append(["Files that are worse than their networks:", *lost])
    remarks = health.sentences(rows["health"])
    if remarks:
        blocks.append(["Loss terms to look at before their methods' rows are believed:", *remarks])
    return blocks


def _table_files(name: str, rows: pd.DataFrame | None, table: Display) -> dict[str, str]:
    """A table's files; ``rows`` is None where another table's CSV file has them."""
    files = {} if rows is None else {f"{name}.csv": to_csv(rows)}
    if name != "provenance":  # too wide for a page
        files |= {f"{name}.md": to_markdown(table), f"{name}.tex": to_latex(table)}
    return files


def _fraction(percent: float) -> float | None:
    return None if pd.isna(percent) else round(percent / 100, 4)
