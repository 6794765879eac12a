"""Questions to the user at the terminal; without one, a default is taken and reported."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import click


@dataclass
class Questions:
    """Asks what cannot be inferred from the files.

    Attributes:
        interactive: Whether a user answers; otherwise the first choice or the default is taken.
        taken: The defaults that were taken without asking, a sentence each.
    """

    interactive: bool
    taken: list[str] = field(default_factory=list)

    def choose(self, problem: str, choices: Sequence[str]) -> str:
        """One of several choices; by default the first."""
        if self.interactive:
            click.echo(f"{problem}:")
            for number, choice in enumerate(choices, start=1):
                click.echo(f"  {number}  {choice}")
            picked: int = click.prompt("Which one", type=click.IntRange(1, len(choices)), default=1)
            return choices[picked - 1]
        others = ", ".join(choices[1:])
        self.taken.append(f"{problem}: took {choices[0]}, not {others}")
        return choices[0]

    def text(self, question: str, default: str) -> str:
        """A word; a default that is taken without asking is not reported, since it is obvious."""
        answer: str = click.prompt(question, default=default) if self.interactive else default
        return answer.strip() or default
