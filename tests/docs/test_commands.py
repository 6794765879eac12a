"""The commands that the documentation tells people to type exist."""

import re

import pytest
from pipeline.cli import cli
from tests.docs.markdown import PAGES, name, text

OLD = {"CHANGELOG.md"}  # says what commands were called


@pytest.mark.parametrize("page", [page for page in PAGES if name(page) not in OLD], ids=name)
def test_commands_and_their_options_exist(page):
    for line in text(page).replace("\\\n", " ").splitlines():
        for command, rest in re.findall(r"python -m pipeline[. ]([\w-]+)([^`#]*)", line):
            assert command in cli.commands, line
            known = {option for parameter in cli.commands[command].params for option in parameter.opts}
            assert set(re.findall(r"(?<!\S)--[\w-]+", rest)) <= known | {"--help"}, line
