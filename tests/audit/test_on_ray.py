"""Audits on a real Ray: on a cluster of two workers that runs on its own, and on one that the audit starts itself."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.audit.samples import sample

import labelwise
from labelwise.labels import bundled

CLUSTER = """
import sys
import ray

context = ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
print(context.address_info["gcs_address"], flush=True)
sys.stdin.read()
"""

FUNCTIONS = """
import os, sys, time
from typing import get_args
import numpy as np
from labelwise.audit import best, blocks, confident_joint, find_label_issues, label_quality
from labelwise.audit.engines import on_engine, spread
from labelwise.audit.filters import Filter

blocks._FAR, best._NUMBERS = 5_000, 500  # so that a small array makes many parts
labels, mapped = np.load(sys.argv[1]), np.load(sys.argv[2], mmap_mode="r")

def everything(probs):
    found = [find_label_issues(labels, probs, method) for method in get_args(Filter)]
    return [*found, find_label_issues(labels, probs, rank_by="self_confidence"), label_quality(labels, probs),
            confident_joint(labels, probs)]

def worker(item):
    time.sleep(0.2)
    return os.getpid()

def error(probs):
    try:
        find_label_issues(labels, probs)
    except ValueError as error:
        return str(error)

unfit = np.array(mapped)
unfit[[700, 1500], 3] = -1
here, told = everything(mapped), error(unfit)
with on_engine("ray"):
    for probs in (mapped, np.array(mapped)):
        for a, b in zip(here, everything(probs), strict=True):
            np.testing.assert_array_equal(a, b)
    assert told == error(unfit) and "row 700" in told, told
    workers = set(spread(worker, (), range(12)))
    assert len(workers) >= 2 and os.getpid() not in workers, workers
    try:
        list(spread(lambda item: os._exit(1), (), [0]))
        raise AssertionError("a lost worker must be told")
    except OSError as error:
        assert "the Ray cluster lost a part of the work" in str(error)
    assert sorted(spread(pow, (2,), range(9), ordered=False)) == [2**k for k in range(9)]
"""

AUDIT = """
import sys, time
import numpy as np
import labelwise
from labelwise.audit import blocks
from labelwise.labels import Task, bundled
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

FITS = sys.argv[3]

class Counted(LogisticRegression):  # writes down every fit, and takes its time
    def fit(self, X, y):
        with open(FITS, "a") as file:
            file.write(".")
        time.sleep(0.2)
        return super().fit(X, y)

blocks._FAR = 1_000  # so that a small array makes many parts
table = bundled("digits").select(range(200))
table = table.with_tasks([Task("digit", "single", table.task("digit").classes)])
pixels = np.stack(table.data[table.media[0]].combine_chunks().to_numpy_ndarray()).reshape(200, -1) / 16
boosting = HistGradientBoostingClassifier(max_iter=3, random_state=0)  # it runs threads of its own
labelwise.audit(table, run=sys.argv[1], models={"counted": Counted(), "boosting": boosting}, embeddings=pixels,
                folds=6, jobs=1, engine=sys.argv[2], quiet=True)
"""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder with a name so short that Ray can have sockets in it."""
    path = Path(tempfile.mkdtemp(prefix="lw-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def environment(folder: Path) -> dict[str, str]:
    (folder / "home").mkdir()
    places = {"RAY_TMPDIR": str(folder), "HOME": str(folder / "home"), "LABELWISE_CACHE": str(folder / "cache")}
    kept = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    return kept | places | {"RAY_AUTH_MODE": "disabled", "RAY_TASK_MAX_RETRIES": "1", "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def cluster(environment: dict[str, str]) -> Iterator[dict[str, str]]:
    """The environment of processes that are to connect to a cluster with two workers."""
    command = [sys.executable, "-c", CLUSTER]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True)
    assert process.stdout is not None
    yield environment | {"RAY_ADDRESS": process.stdout.readline().strip()}
    process.communicate(timeout=60)


def run(code: str, *words: object, environment: dict[str, str]) -> None:
    command = [sys.executable, "-c", code, *map(str, words)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_every_pass_finds_the_same_on_two_workers(tmp_path, cluster):
    labels, probs = sample(0, 2_000, 12, 1.5)
    labels[5:2_000:50] = -1
    np.save(tmp_path / "labels.npy", labels)
    np.save(tmp_path / "probs.npy", probs.astype(np.float32) / probs.astype(np.float32).sum(axis=1, keepdims=True))
    run(FUNCTIONS, tmp_path / "labels.npy", tmp_path / "probs.npy", environment=cluster)


@pytest.mark.slow
def test_an_audit_that_was_killed_goes_on_and_finds_what_one_process_finds(tmp_path, cluster, environment):
    fits, there = tmp_path / "fits", tmp_path / "ray"
    here = [sys.executable, "-c", AUDIT, str(tmp_path / "local"), "local", str(tmp_path / "others")]
    local = subprocess.Popen(here, env=environment)  # meanwhile
    process = subprocess.Popen([sys.executable, "-c", AUDIT, str(there), "ray", str(fits)], env=cluster)
    deadline = time.monotonic() + 200
    while len(list((there / "probabilities").glob("*.parts/[!.]*.npy"))) < 3:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait(60) == -signal.SIGKILL
    assert not (there / "issues.parquet").exists()

    run(AUDIT, there, "ray", fits, environment=cluster)
    assert local.wait(300) == 0
    folds, workers = 6, 2
    assert fits.stat().st_size <= folds + workers  # what was under way is begun again, and nothing else
    for name in ("issues.parquet", "metrics.json", "data_issues.json", "probabilities/digit.npy"):
        assert (there / name).read_bytes() == (tmp_path / "local" / name).read_bytes(), name


def test_an_address_where_no_one_answers_is_told_before_anything_is_made(monkeypatch, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        monkeypatch.setenv("RAY_ADDRESS", address)
        with pytest.raises(ConnectionError, match=rf"no Ray cluster answers at {address} .*RAY_ADDRESS"):
            labelwise.audit(bundled("iris"), run=tmp_path / "run", engine="ray")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_without_a_cluster_one_is_started_without_noise_and_stopped(tmp_path, folder, environment):
    own = environment | {"RAY_TMPDIR": str(folder / "own")}
    del own["RAY_AUTH_MODE"]
    probabilities = np.random.default_rng(0).dirichlet(np.ones(3), 150)
    np.save(tmp_path / "given.npy", probabilities)
    words = ["audit", "iris", "--probabilities", str(tmp_path / "given.npy")]
    words += ["--engine", "ray", "--quiet", "--out", str(tmp_path / "run")]
    command = [sys.executable, "-m", "labelwise", *words]
    done = subprocess.run(command, env=own, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "run" / "issues.parquet").exists()
    assert list((folder / "own" / "ray").iterdir())  # it was really there
    running = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline")]
    assert not [line for line in running if str(folder / "own").encode() in line]
