import pytest


@pytest.fixture
def project(prepared_project):
    """The working directory is a tiny project with its data prepared, tracking off."""
    return prepared_project
