import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# The workers of pytest-xdist share the cores: more threads in each only wait for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A test that is slow on a busy machine has not failed.
settings.register_profile("labelwise", deadline=None)
settings.load_profile("labelwise")

CHROMIUM = "chromium"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--screenshots", action="store_true", help="Take the pictures of the docs anew.")


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real data sets."""
    folder = os.environ.get("LABELWISE_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("LABELWISE_DATA does not name the folder of real data sets")
    return Path(folder).resolve()


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium without a window."""
    path = shutil.which(CHROMIUM)
    if path is None:
        pytest.skip(f"no {CHROMIUM} on PATH")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        chromium = playwright.chromium.launch(executable_path=path, args=arguments)
        yield chromium
        chromium.close()
