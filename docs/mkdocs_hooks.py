"""The site's pages have the paths that they have in the repository, so that a link is the same in both.

MkDocs reads one folder, but the first page is README.md, and pages link to reports, parameters and more,
far from docs/. So the list of files is made here: the pages of mkdocs.yml, and whatever they
link to. Formulas become MathML, which browsers draw themselves.
"""

import html
import os
import re
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page
from pymdownx.slugs import slugify

CODE = re.compile(r"^[ \t]*```.*?^[ \t]*```[ \t]*$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<=\]\()([^()\s]+)(?=\))")
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)
LANGUAGES = {".yaml": "yaml", ".cff": "yaml", ".toml": "toml", ".py": "python"}
AS_THEY_ARE = {".png", ".html", ".css"}


def on_config(config: MkDocsConfig) -> None:
    """Headings get the anchors that GitHub gives them."""
    config.mdx_configs.setdefault("toc", {})["slugify"] = slugify(case="lower")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The theme's own files, the pages, and everything that a page links to."""
    root = _root(config)
    others = [file for file in files if file.src_dir != config.docs_dir]
    in_nav = set(_pages_of(config.nav))
    waiting = sorted({*in_nav, *(f"docs/{page.name}" for page in (root / "docs").glob("*.md"))})
    wanted = {"docs/site.css", *waiting}
    while waiting:
        page = waiting.pop()
        if not page.endswith(".md") or not (root / page).is_file():
            continue  # MkDocs itself names a page of nav that is missing
        found = _linked(root, page) - wanted
        wanted |= found
        waiting += found
    ours = [_file(config, root, path, in_nav) for path in sorted(wanted) if (root / path).is_file()]
    return Files([*others, *ours])


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """A link to a file of text leads to the page that shows it."""
    folder = PurePosixPath(page.file.src_uri).parent

    def shown(match: re.Match[str]) -> str:
        target = match[1]
        path = os.path.normpath(folder / unquote(target))
        return f"{target}.md" if files.get_file_from_path(f"{path}.md") else target

    return LINK.sub(shown, markdown)


def on_page_content(content: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Formulas as MathML."""
    display = {"span": "inline", "div": "block"}
    return FORMULA.sub(lambda match: convert(html.unescape(match[2]), display=display[match[1]]), content)


def _root(config: MkDocsConfig) -> Path:
    return Path(config.config_file_path).parent


def _pages_of(nav: object) -> list[str]:
    """Paths of the pages in a part of mkdocs.yml's ``nav``."""
    if isinstance(nav, str):
        return [nav]
    parts = nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else []
    return [page for part in parts for page in _pages_of(part)]


def _linked(root: Path, page: str) -> set[str]:
    """Paths of the repository's files that a page links to."""
    text = CODE.sub("", (root / page).read_text(encoding="utf-8"))
    paths = (urlsplit(link) for link in LINK.findall(text))
    relative = (parts.path for parts in paths if parts.path and not parts.scheme)
    found = (os.path.normpath(PurePosixPath(page).parent / unquote(path)) for path in relative)
    return {path for path in found if not path.startswith("..") and (root / path).is_file()}


def _file(config: MkDocsConfig, root: Path, path: str, in_nav: set[str]) -> File:
    """A file of the site: as it is, or, of text that is no page, a page that shows it."""
    source = root / path
    if source.suffix == ".md":
        linked_only = path not in in_nav and not path.startswith("docs/")
        inclusion = InclusionLevel.NOT_IN_NAV if linked_only else InclusionLevel.UNDEFINED
        return File.generated(config, path, abs_src_path=str(source), inclusion=inclusion)
    if source.suffix in AS_THEY_ARE:
        return File.generated(config, path, abs_src_path=str(source))
    text = source.read_text(encoding="utf-8")
    code = f"````{LANGUAGES.get(source.suffix, 'text')}\n{text}\n````"
    page = f"---\nsearch: {{exclude: true}}\n---\n\n# {path}\n\n{code}\n"
    return File.generated(config, f"{path}.md", content=page, inclusion=InclusionLevel.NOT_IN_NAV)
