"""Experiment tracking: files first, MLflow when it answers.

A stage opens a ``Tracker`` and records into it. Each record is written to a journal on disk, from which a
thread sends it to MLflow: an unreachable server stops nothing and loses nothing, and a killed training
resumes its own run.
"""

from icsd.tracking.base import ModelSpec, NullTracker
from icsd.tracking.git import git_state
from icsd.tracking.identity import group_id
from icsd.tracking.names import (
    CHAMPION,
    Tag,
    experiment_name,
    registered_model_name,
    tuning_experiment_name,
    worth_experiment_name,
)
from icsd.tracking.opening import open_parent, open_tracker
from icsd.tracking.patience import wait_patiently
from icsd.tracking.registry import Registry, Version
from icsd.tracking.run import run_id_in, run_id_of_key
from icsd.tracking.store import public_uri, store_location
from icsd.tracking.tracker import Tracker
from icsd.tracking.upkeep import close_stale, deliver_pending, tag_reused, when_reachable

__all__ = [
    "CHAMPION",
    "ModelSpec",
    "NullTracker",
    "Registry",
    "Tag",
    "Tracker",
    "Version",
    "close_stale",
    "deliver_pending",
    "experiment_name",
    "git_state",
    "group_id",
    "open_parent",
    "open_tracker",
    "public_uri",
    "registered_model_name",
    "run_id_in",
    "run_id_of_key",
    "store_location",
    "tag_reused",
    "tuning_experiment_name",
    "wait_patiently",
    "when_reachable",
    "worth_experiment_name",
]
