"""All that DVC does in an execution: its graph, its checks, its caches, its locks and its lock file.

DVC's own functions do the work, in the order in which ``dvc repro`` calls them for a stage, and in one
process: a stage is *begun* (is it stale? is its result in the run cache?), its command runs elsewhere, and
it is *finished* (outputs hashed and stored, the run cache and dvc.lock updated). Between the two, ``dvc
repro`` releases the repository's lock and keeps the stage's paths locked; this module does the same for every
running stage.
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

from icsd.commands.run.place import Job
from icsd.errors import UserError, first_line

Stage = Any
"""``dvc.stage.Stage``; DVC has no types."""


class Busy(Exception):
    """Another DVC process holds a lock that this one needs; the message says which process."""


class Graph:
    """The stages of a repository.

    Args:
        root: The repository's folder.
        targets: As for ``dvc repro``; all stages of dvc.yaml if empty.
        downstream: Take the targets and the stages that depend on them, instead of those that they need.

    Raises:
        UserError: DVC finds no repository, no such target, or a mistake in dvc.yaml.
    """

    def __init__(self, root: Path, targets: Sequence[str] = (), *, downstream: bool = False) -> None:
        with as_user_error():
            from dvc.repo import Repo
            from dvc.repo.reproduce import collect_stages, get_active_graph, plan_repro

            self._repo = Repo(str(root))
            with self.locked():
                stages = collect_stages(self._repo, list(targets) or ["dvc.yaml"])
                graph = self._repo.index.graph
                self.order: list[Stage] = plan_repro(get_active_graph(graph), stages, downstream=downstream)
                # A frozen stage does not run its dependencies, but must not be read while they are written.
                self.needs: Mapping[Stage, list[Stage]] = {
                    stage: list(graph.successors(stage)) for stage in self.order
                }
                self.scm_context = self._repo.scm_context

    @property
    def repo(self) -> Any:  # noqa: ANN401 - DVC has no types
        """DVC's own view of the repository."""
        return self._repo

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the repository's lock for the block, as a ``dvc`` command does.

        Raises:
            Busy: Another command has held it for several seconds.
        """
        from dvc.lock import LockError

        try:
            self._repo.lock.lock()
        except LockError:
            raise Busy("another dvc command is running in this repository") from None
        self._repo._lock_depth += 1  # so that DVC's calls inside do not lock it again
        try:
            self._repo._reset()
            yield
            self._repo._reset()
        finally:
            self._repo._lock_depth -= 1
            self._repo.lock.unlock()

    def pull_run_cache(self) -> None:
        """Fetch the run cache, which says which inputs gave which outputs, from the remote."""
        from dvc.stage.cache import RunCacheNotSupported

        with as_user_error():
            try:
                self._repo.stage_cache.pull(None)
            except RunCacheNotSupported as error:
                raise UserError(f"the run cache cannot be pulled: {first_line(error)}") from None

    def is_stale(self, stage: Stage) -> bool:
        """Whether ``dvc repro`` would run it, as the workspace is now."""
        with as_user_error(), as_busy():
            return bool(stage.changed(False, self.needs[stage]))

    def begin(self, stage: Stage, *, force: bool = False, pull: bool = False) -> "Begun":
        """Do everything before a stage's command; the repository is locked.

        Args:
            stage: The stage; all stages that it needs are done.
            force: Run it even if it is up to date or in the run cache.
            pull: Fetch missing data from the remote.

        Raises:
            Busy: Another process works with its paths.
            UserError: DVC refuses the stage; the message is DVC's.
        """
        with as_user_error(), as_busy(), ExitStack() as paths:
            paths.enter_context(self._rwlock(stage, running=False))
            if not force and not stage.changed(False, self.needs[stage]):
                return Begun(stage, "unchanged")
            if not stage.cmd or stage.frozen or stage.is_import:
                stage.run()  # an import, a file under DVC's control, or a frozen stage: no command
                return Begun(stage, "restored")
            stage.remove_outs(ignore_remove=False, force=False)
            if not force and self._restore(stage, pull=pull):
                self.finish(stage)
                return Begun(stage, "restored")
            paths.close()
            held = self._rwlock(stage, running=True)
            held.__enter__()
            return Begun(stage, "stale", held)

    def finish(self, stage: Stage) -> None:
        """Do everything after a stage's command except writing dvc.lock; the repository is locked.

        Raises:
            UserError: An output is missing, or cannot be stored.
        """
        with as_user_error():
            uncached = any(not out.use_cache for out in stage.outs if not (out.is_metric or out.is_plot))
            stage.save(run_cache=not uncached)
            stage.commit()

    def fetch(self, stage: Stage) -> None:
        """Fetch a stage's outputs, which another machine has made, from the remote.

        Raises:
            UserError: They are not there.
        """
        self.pull_run_cache()
        with as_user_error():
            if not self._restore(stage, pull=True):
                raise UserError("its outputs have not arrived in DVC's remote")

    def has_run_cache(self, stage: Stage) -> bool:
        """Whether the run cache holds the stage's result, so that it is found without dvc.lock."""
        from dvc.stage.cache import _can_hash

        return bool(_can_hash(stage)) and all(out.use_cache or out.is_metric for out in stage.outs)

    def costs(self) -> dict[str, Path]:
        """Stage -> the file in which it writes what it cost."""
        return {
            stage.addressing: Path(out.fs_path)
            for stage in self.order
            for out in stage.outs
            if out.def_path.startswith("costs/")
        }

    def noted(self) -> set[Stage]:
        """The stages in dvc.lock; a stage in its own .dvc file, such as an import, counts as well."""
        from dvc.stage import PipelineStage

        names: dict[str, set[str]] = {}
        for stage in self.order:
            if isinstance(stage, PipelineStage) and stage.path not in names:
                names[stage.path] = set(stage.dvcfile.lockfile_contents.get("stages", {}))
        return {
            stage
            for stage in self.order
            if not isinstance(stage, PipelineStage) or stage.name in names[stage.path]
        }

    def note(self, stages: Sequence[Stage]) -> None:
        """Write stages into dvc.lock, new ones at its end and in this order; the repository is locked."""
        from dvc.stage import PipelineStage

        files: dict[str, list[Stage]] = {}
        with as_user_error():
            for stage in stages:
                if isinstance(stage, PipelineStage):
                    files.setdefault(stage.path, []).append(stage)
                else:
                    stage.dump(update_pipeline=False)
            for those in files.values():
                those[0].dvcfile.dump_stages(those, update_pipeline=False)

    def arrange(self, stages: Sequence[Stage]) -> None:
        """Move stages to the end of dvc.lock, in this order; the repository is locked."""
        from dvc.utils.serialize import modify_yaml

        for path in dict.fromkeys(stage.path for stage in stages):
            with modify_yaml(str(Path(path).with_suffix(".lock")), fs=self._repo.fs) as content:
                for stage in stages:
                    if stage.path == path and stage.name in content["stages"]:
                        content["stages"].move_to_end(stage.name)

    def _restore(self, stage: Stage, *, pull: bool) -> bool:
        from dvc.stage.cache import RunCacheNotFoundError

        try:
            self._repo.stage_cache.restore(stage, pull=pull)
        except RunCacheNotFoundError:
            stage.save_deps()
            return False
        return True

    def _rwlock(self, stage: Stage, *, running: bool) -> AbstractContextManager[None]:
        """DVC's lock on a stage's paths; while the stage runs, the lock's name mentions it."""
        from dvc.dependency.db import AbstractDependency
        from dvc.dependency.repo import RepoDependency
        from dvc.rwlock import rwlock

        command = " ".join(sys.argv)
        lock: AbstractContextManager[None] = rwlock(
            self._repo.tmp_dir,
            self._repo.fs,
            f"{command} (stage {stage.addressing})" if running else command,
            [
                item.fs_path
                for item in stage.deps
                if not isinstance(item, RepoDependency | AbstractDependency)
            ],
            [item.fs_path for item in stage.outs],
            self._repo.config["core"].get("hardlink_lock", False),
        )
        return lock


def job_of(stage: Stage, log: Path) -> Job:
    """A stage's command, with the environment that DVC gives it."""
    from dvc.stage.run import prepare_kwargs

    given = prepare_kwargs(stage)
    commands = stage.cmd if isinstance(stage.cmd, list) else stage.cmd.splitlines()
    environment = dict(given["env"])
    own, path = str(Path(sys.executable).parent), environment.get("PATH", os.defpath)
    if own not in path.split(os.pathsep):  # `.venv/bin/python -m pipeline run`: stages say `python` as well
        environment["PATH"] = f"{own}{os.pathsep}{path}"
    return Job(stage.addressing, tuple(commands), Path(given["cwd"]), environment, log)


class Begun:
    """The result of ``Graph.begin``: ``unchanged``, ``restored``, or ``stale`` with the paths locked."""

    def __init__(self, stage: Stage, outcome: str, held: AbstractContextManager[None] | None = None) -> None:
        self.stage = stage
        self.outcome = outcome
        self._held = held

    def release(self) -> None:
        """Release the paths; the repository is locked."""
        if self._held is not None:
            self._held.__exit__(None, None, None)
            self._held = None


@contextmanager
def as_user_error() -> Iterator[None]:
    """Turn DVC's errors into user errors with their message, and system errors into ones with the file."""
    from dvc.exceptions import DvcException
    from dvc.lock import LockError
    from dvc.scm import SCMError

    try:
        yield
    except LockError:
        raise
    except SCMError as error:
        advice = (
            "; after a download without git, `git init && git add -A && git commit -m start` makes it one"
        )
        raise UserError(f"{error}{advice if 'not a git repository' in str(error) else ''}") from None
    except DvcException as error:
        cause = f": {error.__cause__}" if error.__cause__ else ""
        raise UserError(f"{error}{cause}") from None
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        raise UserError(f"{place}{error.strerror or error}") from None


@contextmanager
def as_busy() -> Iterator[None]:
    """Turn DVC's error about a path that another process holds into ``Busy``."""
    from dvc.lock import LockError

    try:
        yield
    except LockError as error:
        raise Busy(str(error).partition("\n\nIf there are no processes")[0]) from None
