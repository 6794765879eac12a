"""The names of this project's experiments, models, aliases and tags in MLflow.

A value here must never change, because old runs are found by these names.
"""

CHAMPION = "champion"
"""Alias of the registered version that no other has beaten; each method's latest version has one too."""
PARENT, CHILD = "parent", "child"
"""Values of ``Tag.ROLE``."""


class Tag:
    """Keys of the tags that this project sets on runs, logged models and registered models."""

    # The network of a run
    KIND = "icsd.kind"
    """``teacher``, ``student``, or a ``trial`` of ``tune`` or ``worth``."""
    METHOD = "icsd.method"
    STUDENT = "icsd.student"
    SEED = "icsd.seed"
    DATASET = "icsd.dataset"
    # The run's relation to others
    GROUP = "icsd.group"
    """The execution that the run belongs to."""
    ROLE = "icsd.role"
    REUSED_BY = "icsd.reused_by"
    """Later executions that reused this run's result from DVC's cache; comma-separated."""
    KEY = "icsd.key"
    """Marks a run or model, so that a process after a killed one finds it instead of creating another."""
    JOURNAL = "icsd.journal"
    """``host:folder`` of the run's journal, the folder relative to the repository."""
    # The code and the stage that ran
    STAGE = "icsd.stage"
    """DVC's name of the stage, ``distill@aicsd-resnet18-0``; ``STAGE_NAME`` leaves out the matrix."""
    STAGE_NAME = "icsd.stage_name"
    DVC_EXPERIMENT = "icsd.dvc_experiment"
    GIT_COMMIT = "icsd.git_commit"
    GIT_DIRTY = "icsd.git_dirty"
    # Findings of a training
    DIVERGED = "icsd.diverged"
    LOSS_HEALTH = "icsd.loss_health"
    # Registered models
    WEIGHTS_SHA256 = "icsd.weights_sha256"
    TRAINED_FROM = "icsd.trained_from"
    """Digest of everything that determined the network: parameters, data, code, initial weights, teacher."""
    MIOU_BY_SEED = "icsd.miou_by_seed"
    IMAGES = "icsd.images"
    """Digest of the images and classes that a score was measured on."""
    CHAMPION_REASON = "icsd.champion_reason"
    # The answer of ``worth``
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
