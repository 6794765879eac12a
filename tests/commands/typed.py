"""Runs commands as a user types them, in this process."""

from click.testing import CliRunner
from pipeline.cli import cli

from icsd.errors import UserError


def said(*words):
    """Run a command; return its output, or an error's message."""
    done = CliRunner().invoke(cli, [*map(str, words)])
    if isinstance(done.exception, UserError):
        return str(done.exception)
    assert done.exit_code == 0, done.output + repr(done.exception)
    return done.output
