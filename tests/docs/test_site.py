"""The documentation as a site: it has every page, no broken link, and a search that works."""

import json
import re
import shutil

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config
from mkdocs.exceptions import Abort
from tests.docs.markdown import PAGES, links, name, prose, text
from tests.imports import ROOT

from icsd.yaml_files import read_yaml

NESTED = re.compile(r"^ {1,3}(?:[-*]|\d+\.) .*", re.MULTILINE)


def pages_of(nav):
    """The paths in a part of mkdocs.yml's ``nav``."""
    if isinstance(nav, str):
        return [nav]
    return [page for part in (nav.values() if isinstance(nav, dict) else nav) for page in pages_of(part)]


def test_every_page_has_its_place_in_the_navigation():
    listed = pages_of(read_yaml(ROOT / "mkdocs.yml")["nav"])
    assert len(set(listed)) == len(listed)
    assert {name(page) for page in PAGES if name(page).startswith("docs/")} <= set(listed)
    assert {"README.md", "CONTRIBUTING.md", "CHANGELOG.md"} <= set(listed)
    assert not [page for page in listed if not (ROOT / page).is_file()]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_lists_are_nested_by_four_spaces(page):
    """GitHub takes fewer as well; the site does not."""
    assert not NESTED.findall(prose(page))


def test_nothing_is_loaded_from_elsewhere():
    settings = read_yaml(ROOT / "mkdocs.yml")
    assert settings["theme"]["font"] is False
    assert settings["strict"]
    ours = [ROOT / "mkdocs.yml", ROOT / "docs/site.css"]
    assert not [file for file in ours if re.search("https?://", file.read_text(encoding="utf-8"))]
    assert not [page for page in PAGES if "```mermaid" in text(page)]  # the theme fetches what draws them


def built(root, destination):
    """The site of a folder that has mkdocs.yml."""
    config = load_config(str(root / "mkdocs.yml"), site_dir=str(destination))
    config.plugins.on_startup(command="build", dirty=False)
    build(config)
    return destination


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return built(ROOT, tmp_path_factory.mktemp("site"))


def test_the_site_has_every_page_and_its_search_finds(site):
    for page in pages_of(read_yaml(ROOT / "mkdocs.yml")["nav"]):
        assert (site / page.replace("README.md", "index.md")).with_suffix(".html").is_file()
    found = json.loads((site / "search/search_index.json").read_text())["docs"]
    places = {entry["location"] for entry in found if "Kendall" in entry["title"] + entry["text"]}
    assert "docs/statistics.html#what-a-difference-decides" in places


def test_links_of_the_site_lead_to_files_of_it(site):
    missing, seen = [], 0
    for page in site.rglob("*.html"):
        if page.name in ("404.html", "report.html"):
            continue
        for target in re.findall(r'(?:href|src)="([^"#?]+)', page.read_text(encoding="utf-8")):
            if re.match(r"[a-z]+:", target):
                continue
            seen += 1
            if not (page.parent / target).resolve().exists():
                missing.append((str(page.relative_to(site)), target))
    assert seen > 1000
    assert not missing


def test_pictures_formulas_and_settings_are_in_the_site(site):
    pictures = {link for link in links(ROOT / "README.md") if link.endswith(".png")}
    assert pictures
    assert not [link for link in pictures if not (site / link).is_file()]
    methods = (site / "docs/methods.html").read_text(encoding="utf-8")
    assert methods.count("<math") > 20
    assert "arithmatex" not in methods
    settings = re.sub("<[^>]+>", "", (site / "params.yaml.html").read_text(encoding="utf-8"))
    assert "grid:" in settings
    assert "students:" in settings


@pytest.mark.parametrize("broken", ["[a](running.md#nowhere)", "[a](nowhere.md)", "[a](../nowhere.yaml)"])
def test_a_broken_link_stops_the_build(broken, tmp_path):
    (tmp_path / "docs").mkdir()
    for path in ("mkdocs_hooks.py", "site.css", "running.md"):
        shutil.copy(ROOT / "docs" / path, tmp_path / "docs")
    settings = (ROOT / "mkdocs.yml").read_text().partition("nav:\n")[0]
    (tmp_path / "mkdocs.yml").write_text(settings + "nav: [docs/running.md, docs/page.md]\n")
    (tmp_path / "docs/running.md").write_text("# Running\n")
    (tmp_path / "docs/page.md").write_text("# Page\n\n[a](running.md#running)\n")
    assert (built(tmp_path, tmp_path / "site") / "docs/page.html").is_file()
    (tmp_path / "docs/page.md").write_text(f"# Page\n\n{broken}\n")
    with pytest.raises(Abort):
        built(tmp_path, tmp_path / "site")
