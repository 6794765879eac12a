"""report.html: one self-contained page without network requests; sorting and the slider need JavaScript."""

from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from icsd.reporting.figures.gallery import Picture
from icsd.reporting.tables.cells import Display


def to_html(
    *,
    title: str,
    setting: Sequence[str],
    answer: Sequence[Sequence[str]],
    tables: dict[str, Display],
    pictures: Sequence[Picture],
    similarity: dict[str, Any] | None,
    gaps: Sequence[str],
) -> str:
    """The page as text.

    Args:
        title: Heading of the page.
        setting: Sentences below it.
        answer: Blocks of sentences that come before everything else; the first of each stands out.
        tables: By name; ``comparison``, ``comparison_details``, ``methods``, ``fidelity``, ``per_class``,
            ``cost``, ``protocol`` and ``provenance`` are required; ``decisions``, ``contrasts``,
            ``deployment``, ``ablation``, ``health``, ``pairs`` and ``published`` are optional.
        pictures: In the page's order.
        similarity: From :func:`icsd.reporting.page.slider.similarity_histories`.
        gaps: Paths that were expected and are missing.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    images = {picture.name: b64encode(picture.png).decode() for picture in pictures}
    narrow = {each.name: b64encode(each.narrow).decode() for each in pictures if each.narrow is not None}
    return environment.get_template("report.html.j2").render(
        title=title,
        setting=setting,
        answer=answer,
        tables=tables,
        pictures=pictures,
        images=images,
        narrow=narrow,
        similarity=similarity,
        gaps=gaps,
    )
