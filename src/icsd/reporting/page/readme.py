"""README.md of a report's folder, which GitHub and GitLab show."""

from collections.abc import Mapping, Sequence

from icsd.reporting.tables.cells import Display
from icsd.reporting.tables.writers import to_markdown

_FIGURES = ("differences", "miou_by_method", "per_class_iou", "panels")
"""Kinds of figures to show, each for the first student."""


def to_readme(
    *,
    title: str,
    setting: Sequence[str],
    answer: Sequence[Sequence[str]],
    tables: Mapping[str, Display],
    figures: Sequence[str],
    gaps: Sequence[str],
) -> str:
    """The page as Markdown; without costs, so that identical runs write identical bytes.

    Args:
        title: Heading of the page.
        setting: Sentences below it.
        answer: Blocks of sentences; the first of each stands out.
        tables: By name; ``comparison``, ``per_class``, ``methods`` and ``protocol`` are required,
            ``decisions``, ``contrasts``, ``ablation``, ``deployment`` and ``health`` optional; others are
            ignored.
        figures: Names of all figures in ``figures/``, without suffix.
        gaps: Paths that were expected and are missing.
    """
    sentences = [f"**{text}**" if text is block[0] else text for block in answer for text in block]
    parts = [f"# {title}", *setting, *sentences, "## Comparison", to_markdown(tables["comparison"])]
    parts += _optional(tables, "decisions", "contrasts", "ablation")
    if "deployment" in tables:
        parts += [*_optional(tables, "deployment"), "![mIoU against latency](figures/deployment.png)"]
    for kind in _FIGURES:
        first = next((name for name in figures if name.startswith(kind)), None)
        parts += [f"![{first.replace('_', ' ')}](figures/{first}.png)"] if first else []
    parts += ["## IoU per class", to_markdown(tables["per_class"])]
    parts += ["## Methods", to_markdown(tables["methods"])]
    parts += _optional(tables, "health")
    parts += ["## Protocol", to_markdown(tables["protocol"])]
    if gaps:
        parts += ["## Gaps", "\n".join(f"- `{gap}`" for gap in gaps)]
    parts.append(
        "All figures and tables: [report.html](report.html) (save it and open it), "
        "[other columns of the comparison](comparison_details.md), [cost](cost.md)."
    )
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def _optional(tables: Mapping[str, Display], *names: str) -> list[str]:
    present = [tables[name] for name in names if name in tables]
    return [part for table in present for part in (f"## {table.title}", to_markdown(table))]
