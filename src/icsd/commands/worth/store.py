"""Finished trainings and measured costs, kept in .state/ so that a killed search resumes where it was."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from icsd.errors import UserError
from icsd.files import check_writable, write_json
from icsd.params import digest_of
from icsd.records import Record, read_record
from icsd.runs import state_root

_ADVICE = "delete it, and the trainings that it held are repeated"


class Trained(Record):
    """One finished training.

    Attributes:
        method: Its method.
        seed: Its seed.
        epochs: Number of epochs.
        miou: mIoU on the validation split after the last epoch, a fraction; None if it diverged.
        seconds: Duration.
        seconds_saved: Additional time that the teacher would have taken, had its logits not been cached.
    """

    method: str
    seed: int
    epochs: int
    miou: float | None = Field(ge=0, le=1)
    seconds: float
    seconds_saved: float


class Kept(Record):
    """The content of the file.

    Attributes:
        trainings: Name of the state folder, with a digest of all that determines the training -> training.
        costs: Rehearsal -> method -> seconds of an epoch.
        seconds: Rehearsal -> its duration.
        digest: Digest of the other fields, so that an edited score is detected.
    """

    schema_version: Literal[1] = Field(default=1, alias="schema")
    trainings: dict[str, Trained] = Field(default_factory=dict)
    costs: dict[str, dict[str, float]] = Field(default_factory=dict)
    seconds: dict[str, float] = Field(default_factory=dict)
    digest: str = ""

    def content(self) -> dict[str, Any]:
        """The content as the file has it, with its current digest."""
        content = self.model_dump(mode="json", by_alias=True, exclude={"digest"})
        return {**content, "digest": digest_of(content)}


class Store:
    """The file of one dataset, which is completely rewritten after every training.

    Args:
        folder: The folder of the file.

    Raises:
        UserError: The file is damaged, or cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "trainings.json"
        check_writable(self._path)
        try:
            self._kept = read_record(self._path, Kept, advice=_ADVICE)
        except FileNotFoundError:
            self._kept = Kept.model_validate({"schema": 1})
        else:
            if self._kept.digest != self._kept.content()["digest"]:
                raise UserError(f"{self._path}: not as it was written; {_ADVICE}")

    def training(self, name: str) -> Trained | None:
        """A finished training; None if there is none."""
        return self._kept.trainings.get(name)

    def add(self, name: str, training: Trained) -> None:
        """Keep a training."""
        self._kept.trainings[name] = training
        self._write()

    def rehearsal(self, name: str) -> tuple[dict[str, float], float] | None:
        """Seconds of an epoch by method, and the duration of the rehearsal; None without such a rehearsal."""
        if name not in self._kept.costs:
            return None
        return self._kept.costs[name], self._kept.seconds.get(name, 0.0)

    def add_rehearsal(self, name: str, costs: dict[str, float], seconds: float) -> None:
        """Keep a rehearsal."""
        self._kept.costs[name] = costs
        self._kept.seconds[name] = seconds
        self._write()

    def _write(self) -> None:
        write_json(self._path, self._kept.content())


def worth_folder(dataset: str) -> Path:
    """The folder in which a dataset's trainings are kept."""
    return state_root() / "worth" / dataset
