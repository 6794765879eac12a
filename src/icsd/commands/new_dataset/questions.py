"""Questions to the person at the terminal, answered by a stated default where there is none."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import click


@dataclass
class Questions:
    """Asks what the files cannot tell.

    Attributes:
        interactive: Whether somebody answers; otherwise the first choice or the default counts.
        taken: The defaults that were taken unasked, a sentence each.
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
        """A word; nobody is told where the default counts unasked, since it is plain to see."""
        answer: str = click.prompt(question, default=default) if self.interactive else default
        return answer.strip() or default
