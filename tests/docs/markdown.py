"""The project's Markdown files as GitHub and GitLab read them: links, headings, code."""

import re
from functools import cache
from pathlib import Path

from tests.imports import ROOT

PAGES = [
    path
    for pattern in ("*.md", "docs/*.md", "configs/*/README.md", "reports/*/README.md")
    for path in sorted(ROOT.glob(pattern))
]
FENCE = re.compile(r"^[ \t]*```(\w*)[ \t]*\n(.*?)^[ \t]*```[ \t]*$", re.MULTILINE | re.DOTALL)
CODE_SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^()\s]+(?:\([^()\s]*\)[^()\s]*)*)\)")
HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@cache
def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def prose(page: Path) -> str:
    """The page without its code blocks."""
    return FENCE.sub("", text(page))


def code_blocks(page: Path, language: str) -> list[str]:
    """The content of the page's code blocks in one language."""
    return [match[2] for match in FENCE.finditer(text(page)) if match[1] == language]


def code_spans(page: Path) -> list[str]:
    return CODE_SPAN.findall(prose(page))


def links(page: Path) -> list[str]:
    """Targets of links and images."""
    return LINK.findall(CODE_SPAN.sub("", prose(page)))


@cache
def anchors(page: Path) -> frozenset[str]:
    """What a link's ``#…`` may name: GitHub's slug of every heading."""
    titles = (re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title) for title in HEADING.findall(prose(page)))
    return frozenset(re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles)


def section(page: Path, title: str) -> str:
    """What stands under a heading, up to the next heading of the same or a higher level."""
    start = re.search(rf"^(#+) {re.escape(title)}$", text(page), re.MULTILINE)
    assert start, f"{name(page)} has no section {title!r}"
    rest = text(page)[start.end() :]
    end = re.search(rf"^#{{1,{len(start[1])}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest
