"""Imports everything that training and evaluation need, in the process that their stages are forked from."""

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

    It only imports: no device is queried (``torch.cuda`` has to stay uninitialised for a fork), no OpenMP
    pool or Python thread is started, and no random number is drawn. Each stage sets its number of threads
    itself (``runtime.threads``), and thus in the fork. Environment variables keep libraries from starting
    threads when they are loaded (OpenBLAS with numpy, Arrow's allocator). They only take effect if this call
    loads these libraries, so make it before anything else imports numpy. (Otherwise the libraries' own
    handlers stop and restart these threads around a fork.)

    Modules that only ``runtime.compile`` needs take a second to import, so a stage that compiles imports
    them itself.

    Args:
        tracking: ``tracking.enabled``; imports MLflow's client and its store in a local database.
        models: ``tracking.models``; imports the modules that export a network as a loadable model.
    """
    for name, value in _NO_THREADS.items():
        os.environ.setdefault(name, value)
    names = [*_STAGES, *(_TRACKING if tracking else ()), *(_MODELS if tracking and models else ())]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about what these libraries import
        for name in names:
            importlib.import_module(name)
