import os
from pathlib import Path

import pytest
from hypothesis import settings

# A test that is slow on a busy machine has not failed.
settings.register_profile("labelwise", deadline=None)
settings.load_profile("labelwise")


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real data sets."""
    folder = os.environ.get("LABELWISE_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("LABELWISE_DATA does not name the folder of real data sets")
    return Path(folder).resolve()
