"""Commands as they are typed, run in this process."""

from click.testing import CliRunner
from pipeline.cli import cli

from icsd.errors import UserError


def said(*words):
    """What a command prints; an error's text."""
    done = CliRunner().invoke(cli, [*map(str, words)])
    if isinstance(done.exception, UserError):
        return str(done.exception)
    assert done.exit_code == 0, done.output + repr(done.exception)
    return done.output
