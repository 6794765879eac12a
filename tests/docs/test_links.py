"""Nothing that the documentation points at is missing."""

import re
from urllib.parse import unquote, urlsplit

import pytest
from tests.docs.markdown import PAGES, anchors, code_spans, links, name
from tests.imports import ROOT

OUTSIDE = re.compile(r"^[a-z]+:|^//")
SOURCE_PATH = re.compile(r"^(?:\.ci|benchmarks|configs|docs|pipeline|src|tests)/[\w./-]+$")
EXAMPLES = {
    "configs/datasets/photos.yaml",
    "src/icsd/methods/mimic.py",
}  # files that a reader is told to write


@pytest.mark.parametrize("page", [*PAGES, *sorted((ROOT / "benchmarks").glob("*.md"))], ids=name)
def test_links_lead_somewhere(page):
    missing = []
    for link in links(page):
        if OUTSIDE.match(link):
            continue
        parts = urlsplit(link)
        target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
        if not target.exists() or not target.is_relative_to(ROOT):
            missing.append(link)
        elif parts.fragment and parts.fragment not in anchors(target):
            missing.append(f"{link} (no such heading)")
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_paths_in_the_text_exist(page):
    paths = {span for span in code_spans(page) if SOURCE_PATH.match(span)} - EXAMPLES
    assert not sorted(path for path in paths if not (ROOT / path).exists())
