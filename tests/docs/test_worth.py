"""docs/worth.md: its question, typed in a tiny project, is answered in the page's form."""

import re
import shutil

import pytest
from tests.docs.blocks import block
from tests.docs.test_transcripts import shape, typed
from tests.project import run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(reproduced, tmp_path_factory):
    """A copy of the reproduced project, to type in."""
    folder = tmp_path_factory.mktemp("worth") / "project"
    shutil.copytree(reproduced, folder, symlinks=True, ignore=shutil.ignore_patterns(".state"))
    run(folder, "git", "checkout", "-q", "--", ".")
    return folder


def of_course(lines):
    """The lines about the course, but for what a seed leads to: another project decides elsewhere."""
    kept = [line for line in lines if not line.startswith(("after ", "seed "))]
    return [shape(line) for line in kept[: kept.index("")]]


def test_the_question_of_the_page_is_answered_in_its_form(project):
    shown = block("docs/worth.md", "$ python -m pipeline worth")
    # three seeds are enough to see the form
    printed = typed(project, f"{shown.commands[0]} --max-seeds 3").splitlines()
    course = of_course(
        line for line in printed if not re.match(r"epoch |\[|\d+ of|the teacher|warning:", line)
    )
    assert [line for line in of_course(shown.printed) if line != "..."] == course
    answer = re.compile(r"(Worth it: in|Not worth it: in|Undecided whether any method gains) ")
    commands = re.compile(r"Next: (dvc exp run -S 'grid|python -m pipeline worth kd dist --student resnet18)")
    for lines in (shown.printed, printed):
        paragraph, after = lines[lines.index("") + 1], lines[-1]
        assert answer.match(paragraph)
        assert commands.match(after)
