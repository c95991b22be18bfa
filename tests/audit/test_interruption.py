"""Bad luck, for real: kill -9, Ctrl-C and a full disk in the middle of an audit, each in a process of its own."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

AUDIT = """
import signal, sys, time
import numpy as np
import labelwise
from labelwise.labels import Task, bundled
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

signal.signal(signal.SIGINT, signal.default_int_handler)  # also where the tests run in the background, and ignore it

class Slow(LogisticRegression):
    def fit(self, X, y):
        time.sleep(0.1)
        return super().fit(X, y)

table = bundled("digits").select(range(300))
table = table.with_tasks([Task("digit", "single", table.task("digit").classes)])
pixels = np.stack(table.data[table.media[0]].combine_chunks().to_numpy_ndarray()).reshape(300, -1) / 16
models = {"slow": Slow(), "tree": DecisionTreeClassifier()}
labelwise.audit(table, run=sys.argv[1], models=models, embeddings=pixels, folds=5, repeats=3, jobs=int(sys.argv[2]),
                quiet=True)
"""

LIMITED = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, resource.RLIM_INFINITY))
"""


def start(run: Path, jobs: int, code: str = AUDIT) -> subprocess.Popen[bytes]:
    environment = os.environ | {"LABELWISE_CACHE": str(run.parent / "cache"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code, str(run), str(jobs)]
    with said(run).open("w") as file:
        return subprocess.Popen(command, stderr=file, env=environment, start_new_session=True)


def said(run: Path) -> Path:
    """The file (not a pipe, which idle processes of the pool would hold open) of what the process said."""
    return run.with_name("errors.txt")


def end(process: subprocess.Popen[bytes], how: signal.Signals = signal.SIGKILL) -> None:
    """Stop an audit: kill -9 hits the main process alone, Ctrl-C those of the pool as well."""
    if how == signal.SIGINT:
        os.killpg(process.pid, how)
    else:
        process.send_signal(how)
    assert process.wait(timeout=60) != 0
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    raise AssertionError("processes of the pool were left behind")


def finish(run: Path) -> bytes:
    process = start(run, jobs=1)
    assert process.wait(timeout=300) == 0, said(run).read_text()
    assert not list(run.rglob("*.parts"))
    return (run / "issues.parquet").read_bytes()


def wait_for_parts(process: subprocess.Popen[bytes], run: Path, number: int) -> list[Path]:
    """Wait until so many parts are finished, while others are under way."""
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        parts = list((run / "probabilities").glob("*.parts/[!.]*.npy"))
        if len(parts) >= number:
            return parts
        if process.poll() is not None:
            raise AssertionError(f"ended too early: {said(run).read_text()}")
        time.sleep(0.005)
    raise AssertionError("nothing happened")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> bytes:
    return finish(tmp_path_factory.mktemp("undisturbed") / "run")


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_audit_goes_on_and_ends_with_the_same_bytes(tmp_path, undisturbed, how):
    run = tmp_path / "run"
    process = start(run, jobs=2)
    wait_for_parts(process, run, 4)
    end(process, how)
    assert not (run / "issues.parquet").exists()
    kept = list((run / "probabilities").glob("*.parts/[!.]*.npy"))
    assert len(kept) >= 4
    assert finish(run) == undisturbed


def test_a_full_disk_is_told_by_name_and_the_audit_goes_on_after(tmp_path, undisturbed):
    """A limit on file sizes stands in for a full disk; the parts are below it, and the whole is above."""
    run = tmp_path / "run"
    process = start(run, jobs=1, code=LIMITED + AUDIT)
    assert process.wait(timeout=300) == 1
    last = said(run).read_text().splitlines()[-1]
    assert "OSError" in last
    assert "nothing was written to this file" in last
    assert str(run / "probabilities" / "digit.npy") in last
    assert not (run / "probabilities" / "digit.npy").exists()
    assert not list((run / "probabilities").glob(".*"))
    assert finish(run) == undisturbed
