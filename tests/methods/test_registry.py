import inspect
import json
import subprocess
import sys

import pytest

from labelwise import methods
from labelwise.methods import Method, Plan
from labelwise.methods.registry import check_options

# Arguments of all constructors that are objects.
PARTS = {"backbone", "tasks", "input_shape"}


def accepted(method):
    """Names of all arguments that a constructor takes, by itself or hands on to its base class."""
    names = set()
    for each in method.__mro__:
        if "__init__" in vars(each):
            parameters = inspect.signature(each).parameters.values()
            names |= {one.name for one in parameters if one.kind is not one.VAR_KEYWORD}
            if all(one.kind is not one.VAR_KEYWORD for one in parameters):
                return names
    raise AssertionError(f"{method} hands its arguments on to nobody")


def constructor_options(method):
    defaults = {}
    for each in reversed(method.__mro__):
        if "__init__" in vars(each):
            for one in inspect.signature(each).parameters.values():
                if one.name in accepted(method) - PARTS:
                    defaults[one.name] = one.default
    return {name: value for name, value in defaults.items() if isinstance(value, bool | int | float | str)}


@pytest.mark.parametrize("name", methods.names())
def test_everything_about_a_method_can_be_read(name):
    method = methods.get(name)
    assert issubclass(method, Method)
    facts = methods.info(name)
    assert list(facts) == ["name", "summary", "needs", "kinds", "options", "paper", "card", "bench", "measured"]
    assert facts["name"] == name
    assert facts["summary"] == methods.summary(name)
    assert facts["summary"].endswith(".")
    json.dumps(facts)
    # Every option of the constructor is explained, with its default; none is explained that is not there.
    shared = set(inspect.signature(Plan).parameters)
    own = constructor_options(method)
    listed = {option["name"]: option for option in facts["options"]}
    assert set(listed) == set(own) | shared
    for option, default in own.items():
        assert listed[option]["default"] == default
        assert len(listed[option]["help"]) > 10
        assert listed[option]["type"] == type(default).__name__
    # What cannot be typed on a command line is said in words.
    said = " ".join(each.__doc__ or "" for each in method.__mro__)
    assert all(part in PARTS or f"`{part}`" in said for part in accepted(method) - set(own))


def test_unknown_names_get_the_nearest():
    for ask in (methods.get, methods.info, methods.summary):
        with pytest.raises(ValueError, match="did you mean 'dselect-k'"):
            ask("dselectk")
    with pytest.raises(ValueError, match=r"no method 'zzz' \(methods: backward-correction"):
        methods.get("zzz")


def test_options_are_completed_and_sorted_by_owner():
    own, shared = check_options("dselect-k", {"k": 3, "gamma": 2, "epochs": 5})
    assert (own["k"], own["gamma"], own["n_experts"]) == (3, 2.0, 8)
    assert isinstance(own["gamma"], float)
    assert shared["epochs"] == 5
    assert set(shared) == set(inspect.signature(Plan).parameters)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epoch": 3}, "no option 'epoch'; did you mean 'epochs'"),
        ({"k": 2.5}, r"'k' must be int; got 2.5 \(float\)"),
        ({"k": "2"}, "must be int; got '2'"),
        ({"k": True}, "must be int; got True"),
        ({"per_example": 1}, "must be bool; got 1"),
        ({"gamma": None}, "must be float; got None"),
    ],
)
def test_wrong_options_are_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        check_options("dselect-k", options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1; got 0"),
        ({"batch_size": -1}, "batch_size must be at least 0"),
        ({"patience": -2}, "patience must be at least 0"),
        ({"dropout": 1.0}, "dropout must be at least 0 and at most 0.99"),
        ({"width": 0}, "width must be at least 1"),
    ],
)
def test_plans_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Plan(**options)


def test_listing_methods_imports_no_torch():
    script = """
import sys
from labelwise import methods
print([methods.summary(name) for name in methods.names()])
assert not {"torch", "lightning", "sklearn", "pandas"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
