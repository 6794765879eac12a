"""The code blocks of the documentation, with the commands and output of shell sessions."""

import re
import shlex
from dataclasses import dataclass
from functools import cache

from tests.docs.markdown import FENCE, PAGES, name, text

HISTORY = {"CHANGELOG.md", "docs/log.md"}
"""Pages that say what was."""


@dataclass(frozen=True)
class CodeBlock:
    """A block: its page, its language ("" where it has none) and its text."""

    page: str
    language: str
    content: str

    @property
    def lines(self) -> list[str]:
        return self.content.splitlines()

    @property
    def commands(self) -> list[str]:
        """The commands: lines after ``$``, or all lines; continued lines are joined, comments left out."""
        joined = self.content.replace("\\\n", " ").splitlines()
        typed = [line[2:] for line in joined if line.startswith("$ ")] or joined
        return [re.sub(r"\s+#.*$", "", line) for line in typed]

    @property
    def printed(self) -> list[str]:
        """The output in a block with ``$``."""
        return [line for line in self.lines if not line.startswith("$ ")]


@cache
def code_blocks() -> list[CodeBlock]:
    return [
        CodeBlock(name(page), match[1], match[2])
        for page in PAGES
        if name(page) not in HISTORY and not name(page).startswith("reports/")
        for match in FENCE.finditer(text(page))
    ]


def block(page: str, beginning: str) -> CodeBlock:
    """The page's only block that begins with this text."""
    [found] = [each for each in code_blocks() if each.page == page and each.content.startswith(beginning)]
    return found


def experiments() -> list[str]:
    """Every ``dvc exp run`` with ``-S`` in a block or a code span, except those of docs/own_data.md."""
    spans = [
        span
        for page in PAGES
        if name(page) not in HISTORY
        for span in re.findall(r"`(dvc exp run [^`]+)`", text(page))
    ]
    typed = [command for each in code_blocks() if each.language == "" for command in each.commands]
    found = {
        command
        for command in (*spans, *typed)
        if command.startswith("dvc exp run") and " -S" in command and "dataset=photos" not in command
    }
    return sorted(found)


def overrides(command: str) -> list[str]:
    """The arguments of ``-S``."""
    words = shlex.split(command)
    return [words[place + 1] for place, word in enumerate(words) if word == "-S" and place + 1 < len(words)]
