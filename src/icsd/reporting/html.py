"""One self-contained page: no request leaves it; without JavaScript, sorting and the slider are missing."""

from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from icsd.reporting.display import Display
from icsd.reporting.gallery import Picture


def to_html(
    *,
    title: str,
    subtitle: str,
    answer: Sequence[Sequence[str]],
    tables: dict[str, Display],
    pictures: Sequence[Picture],
    courses: dict[str, Any] | None,
    gaps: Sequence[str],
) -> str:
    """The page as text.

    Args:
        title: Heading of the page.
        subtitle: One line below it.
        answer: Blocks of sentences that come before everything else; the first of each stands out.
        tables: By name; ``comparison``, ``methods``, ``fidelity``, ``per_class``, ``cost``, ``protocol`` and
            ``provenance`` always; ``contrasts``, ``ablation``, ``health``, ``pairs`` and ``published`` where
            given.
        pictures: In the order of the page.
        courses: From :func:`icsd.reporting.course.courses`.
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
    return environment.get_template("report.html.j2").render(
        title=title,
        subtitle=subtitle,
        answer=answer,
        tables=tables,
        pictures=pictures,
        images=images,
        courses=courses,
        gaps=gaps,
    )
