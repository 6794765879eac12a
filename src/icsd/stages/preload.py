"""What the stages that train and evaluate import, in one call: for a process that they are forked from."""

import importlib
import os
import warnings

_STAGES = (
    *("icsd.stages.training.run", "icsd.stages.evaluation.run", "icsd.models.own_weights"),
    *("PIL.PngImagePlugin", "PIL.WebPImagePlugin", "torch.utils.serialization.config"),
)
_TRACKING = (
    *("mlflow.tracking", "mlflow.store.tracking.sqlalchemy_store", "sqlalchemy.dialects.sqlite"),
    "mlflow.store.tracking.sqlalchemy_workspace_store",
)
_NO_THREADS = {"OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}
"""Read by OpenBLAS (in numpy and in scipy) and by Arrow's allocator (below pandas) when they are loaded."""
_MODELS = ("mlflow.pytorch", "mlflow.pyfunc.model", "torch._export.serde.serialize", "torch.export._trace")


def preload(*, tracking: bool = True, models: bool = True) -> None:
    """Import what training and evaluation need, so that a fork of this process starts with all of it.

    Imports alone: no device is asked for (``torch.cuda`` stays uninitialised, as a fork needs it), no OpenMP
    pool and no Python thread is started, no random number is drawn. The number of threads is set by each
    stage itself (``runtime.threads``), and so in the fork. Libraries that start threads when they are loaded
    (OpenBLAS with numpy, Arrow's allocator) are asked not to, which they only hear if this is what loads
    them: call it before anything else imports numpy. (Otherwise their own handlers stop and restart these
    threads around a fork.)

    What takes a second and is only needed by ``runtime.compile`` is left out: a stage that compiles imports
    it by itself.

    Args:
        tracking: ``tracking.enabled``: MLflow's client, and its store in a local database.
        models: ``tracking.models``: what exports a network as a loadable model.
    """
    for name, value in _NO_THREADS.items():
        os.environ.setdefault(name, value)
    names = [*_STAGES, *(_TRACKING if tracking else ()), *(_MODELS if tracking and models else ())]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about what these libraries import
        for name in names:
            importlib.import_module(name)
