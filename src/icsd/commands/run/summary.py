"""The last lines of an execution: what was done, what failed and why, and how to continue."""

from pathlib import Path

from icsd.commands.run.execution import Failure, Outcome
from icsd.errors import some

_LAST_LINES = 12


def summary(outcome: Outcome, *, stopped: bool) -> str:
    """The text to print at the end."""
    lines = [line for failure in outcome.failures for line in _of_failure(failure)]
    if outcome.skipped:
        lines.append(f"not run, since they need what failed: {some(outcome.skipped, len(outcome.skipped))}")
    if outcome.ended:
        lines.append(
            f"stopped while they ran: {some(outcome.ended, len(outcome.ended))}; finished epochs and "
            "downloads are kept in .state/"
        )
    done = len(outcome.ran) + len(outcome.restored) + len(outcome.unchanged)
    total = done + len(outcome.failures) + len(outcome.skipped) + len(outcome.ended) + len(outcome.left)
    lines.append(f"{done} of {total} stages are done: {_how(outcome)}")
    if stopped or outcome.failures:
        mend = "" if stopped else "Mend the cause; "
        lines.append(f"{mend}the same command goes on from here, and runs nothing again that is done")
    return "\n".join(lines)


def _how(outcome: Outcome) -> str:
    counts = {
        "ran": len(outcome.ran),
        "from the cache": len(outcome.restored),
        "as before": len(outcome.unchanged),
    }
    return ", ".join(f"{count} {how}" for how, count in counts.items() if count) or "nothing was to be done"


def _of_failure(failure: Failure) -> list[str]:
    code = f" (exit code {failure.code})" if failure.code > 0 else f" (signal {-failure.code})"
    lines = [f"error: stage {failure.stage} failed{code if failure.code else ''}"]
    lines += [f"  {line}" for line in failure.reason.splitlines()]
    if failure.log is not None:
        lines += [f"  {line}" for line in _last_lines(failure.log)]
        lines.append(f"  all that it printed: {failure.log}")
    return lines


def _last_lines(log: Path) -> list[str]:
    """The last lines of a log, from its last error message on if there is one."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").rstrip().splitlines()
    except OSError:
        return []
    messages = [number for number, line in enumerate(lines) if line.startswith("error:")]
    return lines[messages[-1] if messages else 0 :][-_LAST_LINES:]
