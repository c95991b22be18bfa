"""A run killed half-way goes on with the same command and ends with the same bytes as an undisturbed one."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

AUDIT = ["audit", "digits", "--folds", "4", "--quiet"]
FIT = ["fit", "digits", "--method", "dselect-k", "--set", "epochs=30", "--quiet"]


def start(words, folder, environment, **options):
    command = [sys.executable, "-m", "labelwise", *words]
    return subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True, **options)


def wait_for(sign, process, seconds=240.0):
    """Wait until `sign()` is true; the process must still be running then."""
    end = time.monotonic() + seconds
    while not sign():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.01)


def parts(folder: Path):
    return [path for path in folder.glob("run/probabilities/*.parts/*") if not path.name.startswith(".")]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, environment) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    for words, out in ((AUDIT, "run"), (FIT, "model")):
        process = start([*words, "--out", out], folder, environment)
        assert process.wait(400) == 0, process.stderr.read()
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGINT])
def test_audit(tmp_path, environment, undisturbed, blow):
    process = start([*AUDIT, "--out", "run"], tmp_path, environment, start_new_session=True)
    wait_for(lambda: len(parts(tmp_path)) >= 2, process)
    os.killpg(process.pid, blow) if blow == signal.SIGKILL else process.send_signal(blow)
    code = process.wait(60)
    assert code == (-signal.SIGKILL if blow == signal.SIGKILL else 1)
    if blow == signal.SIGINT:
        assert process.stderr.read().strip().splitlines()[-1].startswith("stopped; the same command goes on")
    assert not (tmp_path / "run" / "issues.parquet").exists()

    process = start([*AUDIT, "--out", "run"], tmp_path, environment)
    assert process.wait(400) == 0, process.stderr.read()
    for name in ("issues.parquet", "report.html", "probabilities/digit.npy"):
        assert (tmp_path / "run" / name).read_bytes() == (undisturbed / "run" / name).read_bytes(), name


@pytest.mark.slow
@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGINT])
def test_fit(tmp_path, environment, undisturbed, blow):
    process = start([*FIT, "--out", "model"], tmp_path, environment)
    wait_for(lambda: list(tmp_path.glob("model/*checkpoint*")), process)
    process.send_signal(blow)
    code = process.wait(60)
    assert code == (-signal.SIGKILL if blow == signal.SIGKILL else 1)
    assert not (tmp_path / "model" / "model.safetensors").exists()

    process = start([*FIT, "--out", "model", "--resume"], tmp_path, environment)
    assert process.wait(400) == 0, process.stderr.read()
    for name in ("model.safetensors", "metrics.json"):
        assert (tmp_path / "model" / name).read_bytes() == (undisturbed / "model" / name).read_bytes(), name


def test_a_full_disk_is_one_line_and_the_run_goes_on_afterwards(tmp_path, environment):
    """A limit on the size of files stands in for the full disk: the write fails in the same place."""

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))

    words = ["audit", "iris", "--folds", "3", "--quiet", "--out", "run"]
    process = start(words, tmp_path, environment, preexec_fn=limit)
    assert process.wait(200) == 1
    lines = process.stderr.read().strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert not (tmp_path / "run" / "issues.parquet").exists()

    process = start(words, tmp_path, environment)
    assert process.wait(200) == 0, process.stderr.read()
    assert (tmp_path / "run" / "issues.parquet").exists()
