import pytest
from tests.methods.processes import Processes


@pytest.fixture(scope="session")
def processes(tmp_path_factory):
    """Runs scripts in processes of their own."""
    started = Processes(tmp_path_factory.mktemp("processes"))
    yield started
    started.close()
