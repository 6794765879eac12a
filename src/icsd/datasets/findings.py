"""The doctor's findings: sentences for a message, and for doctor.json all cases that they are about."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from icsd.errors import UserError, some
from icsd.records import Record

_NUM_NAMED = 5  # cases in a message, which always has their total number


class Finding(Record):
    """One problem.

    Attributes:
        text: What was looked for, where, and what was found.
        cases: All files, ids or pairs that it is about.
    """

    text: str
    cases: tuple[str, ...] = ()

    def __str__(self) -> str:
        if not self.cases:
            return self.text
        return f"{self.text}: {some(self.cases, len(self.cases), most=_NUM_NAMED)}"


class Findings(Record):
    """doctor.json: the result of an examination. Errors stop the pipeline, warnings are for the reader.

    Attributes:
        facts: Split -> facts for the protocol card.
    """

    schema_version: Literal[2] = Field(default=2, alias="schema")
    errors: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...] = ()
    facts: dict[str, dict[str, object]] = Field(default_factory=dict)

    def raise_on_errors(self, file: Path | None = None) -> None:
        """Raises one UserError that lists all errors; ``file`` is the one that has all of their cases."""
        if self.errors:
            lines = "\n".join(f"  - {error}" for error in self.errors)
            full = any(len(error.cases) > _NUM_NAMED for error in self.errors)
            where = f"\nAll of them are in {file}." if full and file else ""
            raise UserError(f"The dataset cannot be used:\n{lines}{where}")


def counted(text: str, cases: Sequence[str]) -> Finding:
    """A finding whose text begins with the number of cases: ``{}`` in the text."""
    return Finding(text=text.format(f"{len(cases):,}"), cases=tuple(cases))
