"""What MLflow calls this project's experiments, models, aliases and tags.

Runs of last year are found again by these names: a value here must never change.
"""

CHAMPION = "champion"
"""Alias of the registered version that no other has beaten. Each method's latest version is an alias too."""
PARENT, CHILD = "parent", "child"
"""Values of ``Tag.ROLE``."""


class Tag:
    """Keys of the tags that this project sets on runs, logged models and registered models."""

    # Which network a run is
    KIND = "icsd.kind"
    """``teacher``, ``student``, or a ``trial`` of ``tune`` or ``worth``."""
    METHOD = "icsd.method"
    STUDENT = "icsd.student"
    SEED = "icsd.seed"
    DATASET = "icsd.dataset"
    # Where a run stands among others
    GROUP = "icsd.group"
    """The execution that it belongs to."""
    ROLE = "icsd.role"
    REUSED_BY = "icsd.reused_by"
    """Later executions whose result is this run's, out of DVC's cache; comma-separated."""
    KEY = "icsd.key"
    """Marks what a killed process made, so that the next one finds it instead of making another."""
    JOURNAL = "icsd.journal"
    """``host:folder`` of the run's journal, the folder relative to the repository."""
    # What ran
    STAGE = "icsd.stage"
    """What DVC calls the stage, ``distill@aicsd-resnet18-0``; ``STAGE_NAME`` leaves out the matrix."""
    STAGE_NAME = "icsd.stage_name"
    DVC_EXPERIMENT = "icsd.dvc_experiment"
    GIT_COMMIT = "icsd.git_commit"
    GIT_DIRTY = "icsd.git_dirty"
    # What a training found
    DIVERGED = "icsd.diverged"
    LOSS_HEALTH = "icsd.loss_health"
    # Registered models
    WEIGHTS_SHA256 = "icsd.weights_sha256"
    TRAINED_FROM = "icsd.trained_from"
    """Digest of what determined the network: numbers, data, code, initial weights, its teacher's, too."""
    MIOU_BY_SEED = "icsd.miou_by_seed"
    IMAGES = "icsd.images"
    """Digest of the images and classes that a score was measured on."""
    CHAMPION_REASON = "icsd.champion_reason"
    # Whether distilling is worth it
    VERDICT = "icsd.verdict"


def experiment_name(dataset: str) -> str:
    """The MLflow experiment that holds a dataset's networks."""
    return f"icsd-{dataset}"


def tuning_experiment_name(dataset: str) -> str:
    """The MLflow experiment that holds a dataset's tuning trials."""
    return f"icsd-{dataset}-tuning"


def worth_experiment_name(dataset: str) -> str:
    """The MLflow experiment that holds the trainings of ``python -m pipeline worth``."""
    return f"icsd-{dataset}-worth"


def registered_model_name(dataset: str, student: str) -> str:
    """The registered model that holds one version per method and training of a student."""
    return f"icsd-{dataset}-{student}"
