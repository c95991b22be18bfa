import errno
import json
import os
import signal
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelwise.runs import RunFolder, file_stem, free_name, read_json, short_hash, write_json, write_text, writing


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_whole(tmp_path):
    write_text(tmp_path / "deep" / "note.txt", "grüße")
    assert (tmp_path / "deep" / "note.txt").read_text(encoding="utf-8") == "grüße"
    assert names(tmp_path / "deep") == ["note.txt"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    write_text(tmp_path / "note.txt", "old")

    def fail():
        with writing(tmp_path / "note.txt") as temporary:
            temporary.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert (tmp_path / "note.txt").read_text() == "old"
    assert names(tmp_path) == ["note.txt"]


def test_a_killed_write_leaves_the_old_file(tmp_path):
    write_text(tmp_path / "note.txt", "old")
    code = f"""
        import os, signal
        from labelwise.runs import writing
        with writing({str(tmp_path / "note.txt")!r}) as temporary:
            temporary.write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)])
    assert done.returncode == -signal.SIGKILL
    assert (tmp_path / "note.txt").read_text() == "old"


def test_a_failed_write_names_the_file_that_was_asked_for(tmp_path):
    with (
        pytest.raises(OSError, match=r"No space left on device; nothing was written.*note\.txt'") as caught,
        writing(tmp_path / "note.txt"),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(tmp_path / "note.txt")
    with pytest.raises(FileNotFoundError, match="other"), writing(tmp_path / "note.txt"):
        (tmp_path / "other").read_text()


def test_a_full_disk_leaves_the_old_file(tmp_path):
    """A limit on file sizes stands in for a full disk: the write fails in the same place."""
    write_text(tmp_path / "note.txt", "old")
    code = f"""
        import resource, signal
        from labelwise.runs import write_text
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            write_text({str(tmp_path / "note.txt")!r}, "x" * 100_000)
        except OSError as error:
            print(error.errno)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True)
    assert int(done.stdout) in (errno.EFBIG, errno.ENOSPC)
    assert (tmp_path / "note.txt").read_text() == "old"
    assert names(tmp_path) == ["note.txt"]


def test_files_are_as_readable_as_any(tmp_path):
    (tmp_path / "plain").write_text("")
    write_text(tmp_path / "ours", "")
    assert stat.S_IMODE(os.stat(tmp_path / "ours").st_mode) == stat.S_IMODE(os.stat(tmp_path / "plain").st_mode)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner), max_leaves=8))
def test_json_comes_back_equal(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("json") / "value.json"
    write_json(path, value)
    assert read_json(path) == value


def test_json_refuses_nan_and_names_a_broken_file(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", float("nan"))
    assert names(tmp_path) == []
    (tmp_path / "b.json").write_text("{")
    with pytest.raises(ValueError, match=r"b\.json is not valid JSON"):
        read_json(tmp_path / "b.json")


def test_hash_depends_on_content_alone():
    assert short_hash({"a": 1, "b": 2}) == short_hash({"b": 2, "a": 1}) != short_hash({"a": 1, "b": 3})
    assert len(short_hash(None)) == 12


def test_a_run_goes_on_with_equal_settings_and_refuses_others(tmp_path):
    settings = {"source": "birds.csv", "seed": 0, "labels": ("genus",)}
    run = RunFolder.start(tmp_path / "run", settings)
    assert RunFolder.start(tmp_path / "run", settings).config == run.config == json.loads(json.dumps(settings))
    with pytest.raises(ValueError, match="seed: 0 there, 1 asked"):
        RunFolder.start(tmp_path / "run", {**settings, "seed": 1})


def test_a_folder_of_other_things_is_not_taken(tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(ValueError, match="is not a run folder"):
        RunFolder.start(tmp_path, {})
    with pytest.raises(ValueError, match=r"it has no config\.yaml"):
        RunFolder(tmp_path)
    assert names(tmp_path) == ["thesis.tex"]


def test_what_a_kill_left_of_the_first_write_does_not_stop_the_next_run(tmp_path):
    (tmp_path / ".config-half.yaml").write_text("")
    assert RunFolder.start(tmp_path, {"seed": 0}).config == {"seed": 0}


@pytest.mark.parametrize(("text", "message"), [("a: [", "not valid YAML"), ("words", "should hold settings")])
def test_a_broken_configuration_is_named(tmp_path, text, message):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ValueError, match=message):
        _ = RunFolder(tmp_path).config


def test_metrics_add_up_and_models_are_found(tmp_path):
    run = RunFolder.start(tmp_path, {"source": "digits"})
    assert run.metrics == {}
    run.add_metrics(audit={"flagged": 3})
    run.add_metrics(accuracy=0.5)
    assert run.metrics == {"audit": {"flagged": 3}, "accuracy": 0.5}
    assert run.models() == {}
    write_text(run / "raw" / "model.safetensors", "")
    assert run.models() == {"raw": tmp_path / "raw"}


@given(st.lists(st.text(max_size=200), unique=True, max_size=5))
def test_any_name_has_a_file_of_its_own(names):
    stems = [file_stem(name) for name in names]
    assert len(set(stems)) == len(names)
    assert all(len(stem) < 200 and "/" not in stem and stem.isascii() for stem in stems)


@given(st.sets(st.sampled_from(["id", "id_", "id__", "split"])))
def test_a_free_name_is_the_name_itself_unless_taken(taken):
    name = free_name("id", taken)
    assert name not in taken
    assert name.rstrip("_") == "id"
    assert (name == "id") == ("id" not in taken)


def test_a_private_file_is_open_to_its_owner_alone(tmp_path):
    for private, mode in ((True, 0o600), (False, 0o644)):
        old = os.umask(0o022)
        try:
            with writing(tmp_path / "note.txt", private=private) as temporary:
                assert stat.S_IMODE(temporary.stat().st_mode) == 0o600
        finally:
            os.umask(old)
        assert stat.S_IMODE((tmp_path / "note.txt").stat().st_mode) == mode
