import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """One thread a process and a cache of its own, so that tests neither crowd the machine nor see an old cache."""
    cache = tmp_path_factory.mktemp("cache")
    return {**os.environ, "OMP_NUM_THREADS": "1", "LABELWISE_CACHE": str(cache), "COLUMNS": "160"}


@pytest.fixture
def labelwise(tmp_path: Path, environment: dict[str, str]) -> Command:
    """Run the real command in a folder of its own."""

    def run(*words: Any, code: int = 0) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "labelwise", *map(str, words)]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    return run


def result(done: subprocess.CompletedProcess[str]) -> Any:
    """The one JSON object that a command printed with --json, and nothing else."""
    return json.loads(done.stdout)
