import pytest


@pytest.fixture
def project(prepared_project):
    """The working directory is a tiny project with its data prepared, tracking off."""
    return prepared_project


@pytest.fixture
def taught(project):
    """The project after the training of its teacher."""
    from icsd.stages.training.run import train_teacher

    train_teacher(project)
    return project
