import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

COMMANDS = ["audit", "fit", "predict", "report", "export", "methods", "bench", "demo"]
COMMANDS += ["evaluate-cleaning", "compare-models"]
COMMANDS += ["data list", "data path", "data fetch"]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example_and_the_shared_options(labelwise, command):
    text = labelwise(*command.split(), "--help").stdout
    assert f"Example: labelwise {command}" in re.sub(r"\s+", " ", text) or command == "data path"
    for option in ("--out", "--seed", "--quiet", "--json"):
        assert option in text


def test_version(labelwise):
    assert re.fullmatch(r"labelwise \d+\.\d+\.\d+\n", labelwise("--version").stdout)


@pytest.mark.parametrize(
    "words",
    [
        ("nothing",),
        ("audit",),
        ("audit", "iris", "--folds", "one"),
        ("fit", "iris", "--set", "k2"),
        ("audit", "x", "--no"),
    ],
)
def test_bad_usage_exits_with_2(labelwise, words):
    assert labelwise(*words, code=2).stdout == ""


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("audit", "nowhere.csv", "--label", "y"), "nowhere.csv"),
        (("audit", "iris", "--label", "specie"), "species"),
        (("fit", "iris", "--method", "dselct-k"), "dselect-k"),
        (("methods", "dselct-k"), "dselect-k"),
        (("data", "path", "irs"), "iris"),
        (("report", "."), "config.yaml"),
        (("export", ".", "--corrected", "out.csv"), "config.yaml"),
        (("predict", ".", "iris"), "config.yaml"),
    ],
)
def test_what_a_user_can_mend_exits_with_1_on_one_line_that_names_it(labelwise, words, hint):
    done = labelwise(*words, "--json", code=1)
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert hint in done.stderr


def test_import_stays_light():
    """Heavy libraries are imported by the functions that need them; that keeps the import under a second."""
    heavy = "{'torch', 'lightning', 'sklearn', 'pandas', 'skrub', 'altair', 'transformers'} & set(sys.modules)"
    code = f"import sys, labelwise, labelwise.cli; print({heavy} or 'light')"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "light\n"


def test_public_names_are_there_and_documented():
    import labelwise

    for name in labelwise.__all__:
        assert getattr(labelwise, name).__doc__
        assert name in dir(labelwise)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        labelwise.nothing  # noqa: B018


def test_every_public_name_of_every_room_has_a_docstring():
    root = Path(importlib.import_module("labelwise").__file__).parent
    rooms = [folder.name for folder in root.iterdir() if (folder / "__init__.py").is_file()]
    bare = []
    for room in rooms:
        module = importlib.import_module(f"labelwise.{room}")
        for name in module.__all__:
            value = getattr(module, name)
            if (inspect.isroutine(value) or inspect.isclass(value)) and not value.__doc__:
                bare.append(f"{room}.{name}")
    assert bare == []
