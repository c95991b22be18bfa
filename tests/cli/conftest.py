import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labelwise.cli import main

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """One thread a process and a cache of its own, so that tests neither crowd the machine nor see an old cache."""
    cache = tmp_path_factory.mktemp("cache")
    return {**os.environ, "OMP_NUM_THREADS": "1", "LABELWISE_CACHE": str(cache), "COLUMNS": "160"}


@pytest.fixture
def labelwise(
    tmp_path: Path,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Command:
    """Run the command in a folder of its own, in this process: torch need not be imported anew for each.

    Real processes are in `test_interrupted`, `test_review` and `test_team`.
    """
    monkeypatch.chdir(tmp_path)
    for name in ("LABELWISE_CACHE", "COLUMNS"):
        monkeypatch.setenv(name, environment[name])

    def run(*words: Any, code: int = 0) -> subprocess.CompletedProcess[str]:
        capfd.readouterr()
        command = ["labelwise", *map(str, words)]
        with monkeypatch.context() as patched, warnings.catch_warnings():
            patched.setattr(sys, "argv", command)
            warnings.simplefilter("default")
            try:
                main()
            except SystemExit as stopped:
                done = subprocess.CompletedProcess(command, int(stopped.code or 0), *capfd.readouterr())
        assert done.returncode == code, done.stdout + done.stderr
        return done

    return run


def result(done: subprocess.CompletedProcess[str]) -> Any:
    """The one JSON object that a command printed with --json, and nothing else."""
    return json.loads(done.stdout)
