"""Training methods by name, and what there is to know about each. Light: PyTorch is imported only when one is used."""

import ast
import difflib
import inspect
import json
import re
from collections.abc import Mapping
from importlib import import_module
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labelwise.methods.method import Method

_NOISY = "labelwise.methods.noisy"
_MIXED = "labelwise.methods.mixed"
_METHODS = {
    "backward-correction": (f"{_NOISY}.backward_correction", "BackwardCorrection"),
    "c-mixup": (f"{_MIXED}.c_mixup", "CMixup"),
    "co-teaching": (f"{_NOISY}.co_teaching", "CoTeaching"),
    "co-teaching-plus": (f"{_NOISY}.co_teaching_plus", "CoTeachingPlus"),
    "confident-learning": (f"{_NOISY}.confident_learning", "ConfidentLearning"),
    "cross-entropy": (f"{_NOISY}.cross_entropy", "CrossEntropy"),
    "cutmix": (f"{_MIXED}.cutmix", "CutMixMethod"),
    "decoupled-mixup": (f"{_MIXED}.decoupled_mixup", "DecoupledMixup"),
    "divide-mix": (f"{_NOISY}.divide_mix", "DivideMix"),
    "dselect-k": ("labelwise.methods.dselect_k", "DSelectKMethod"),
    "dualmix": ("labelwise.methods.skewed.dualmix", "DualMix"),
    "dynamic-loss": (f"{_NOISY}.dynamic_loss", "DynamicLoss"),
    "forward-correction": (f"{_NOISY}.forward_correction", "ForwardCorrection"),
    "importance-reweighting": (f"{_NOISY}.importance_reweighting", "ImportanceReweighting"),
    "label-wave": (f"{_NOISY}.label_wave", "LabelWave"),
    "laso": (f"{_MIXED}.laso", "Laso"),
    "loss-clip": (f"{_NOISY}.loss_clip", "LossClip"),
    "lupi": ("labelwise.methods.privileged.lupi", "Lupi"),
    "m3col": (f"{_MIXED}.m3col", "M3Col"),
    "metrix": (f"{_MIXED}.metrix", "Metrix"),
    "mixup": (f"{_MIXED}.mixup", "MixupMethod"),
    "mixup-cutmix": (f"{_NOISY}.mixup_cutmix", "MixupCutMix"),
    "plm": (f"{_NOISY}.plm", "PartLevelLabels"),
    "rank-mixup": (f"{_MIXED}.rank_mixup", "RankMixup"),
    "sdn": (f"{_NOISY}.sdn", "NoiseClusters"),
    "sharpness-aware": (f"{_NOISY}.sharpness_aware", "SharpnessAware"),
    "smmix": (f"{_MIXED}.smmix", "SMMixMethod"),
    "supremix": (f"{_MIXED}.supremix", "SupReMix"),
    "t-revision": (f"{_NOISY}.t_revision", "TRevision"),
    "transmix": (f"{_MIXED}.transmix", "TransMixMethod"),
}


def names() -> list[str]:
    """Names of all methods, in alphabetical order."""
    return sorted(_METHODS)


def summary(name: str) -> str:
    """What a method is, in a sentence: the first line of its file, read without running it. Raises as `get` does."""
    _, *folders, module = _home(name)[0].split(".")
    source = files("labelwise").joinpath(*folders, f"{module}.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]


def get(name: str) -> "type[Method]":
    """The class of a method. Raises `ValueError` with the nearest name if there is none called so."""
    module, class_name = _home(name)
    found: type[Method] = getattr(import_module(module), class_name)
    return found


def info(name: str) -> dict[str, Any]:
    """All there is to know about a method, as plain JSON facts. Raises as `get` does.

    `name`, `summary`, `needs` (which labels), `kinds` (of tasks that it learns), `options` (`{"name", "type",
    "default", "help"}` each, the method's own before those that all methods share), `paper`, `card`, `bench` (name of
    the experiment that compares it), `measured` (its stored result); None where there is none.
    """
    from labelwise.methods.training import Plan

    method = get(name)
    return {
        "name": name,
        "summary": summary(name),
        "needs": method.needs,
        "kinds": list(method.kinds),
        "options": [*describe(method).values(), *describe(Plan).values()],
        "paper": method.paper,
        "card": method.card,
        "bench": method.bench,
        "measured": _measured(method.bench),
    }


def describe(owner: type) -> dict[str, dict[str, Any]]:
    """Options of a class by name: its arguments with a default, explained under "Args" of its docstring.

    Where its constructor hands further arguments on, as `**shared`, those of its base class follow.
    """
    found: dict[str, dict[str, Any]] = {}
    for each in owner.__mro__:
        if "__init__" not in vars(each):
            continue
        texts = _arguments(inspect.cleandoc(each.__doc__ or ""))
        parameters = inspect.signature(vars(each)["__init__"]).parameters.values()
        for parameter in parameters:
            if parameter.default is not parameter.empty and parameter.name in texts:
                entry = {
                    "name": parameter.name,
                    "type": inspect.formatannotation(parameter.annotation),
                    "default": parameter.default,
                    "help": texts[parameter.name],
                }
                found.setdefault(parameter.name, entry)
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            break
    return found


def check_options(name: str, options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Complete options with defaults, split into those of the method and those of the `Plan`.

    Raises `ValueError` for an unknown option (with the nearest name), a value of another type than the default's, and
    as `get` does. Whole numbers are taken for fractions, not the other way round.
    """
    from labelwise.methods.training import Plan

    own, shared = describe(get(name)), describe(Plan)
    completed = complete(options, own | shared, f"method {name!r}")
    return {option: completed[option] for option in own}, {option: completed[option] for option in shared}


def complete(options: Mapping[str, Any], known: Mapping[str, Mapping[str, Any]], owner: str) -> dict[str, Any]:
    """`options` with the defaults of those `known`, see `describe`, that are not among them; `owner` is for messages.

    An option whose default is None is a fraction that is found out where it is not given. Raises as `check_options`.
    """
    for option, value in options.items():
        if option not in known:
            raise ValueError(f"{owner} has no option {option!r}{_hint(option, known)} (options: {', '.join(known)})")
        wanted = _type(known[option]["default"])
        whole_for_fraction = wanted is float and type(value) is int
        if type(value) is not wanted and not whole_for_fraction:
            raise ValueError(f"option {option!r} must be {wanted.__name__}; got {value!r} ({type(value).__name__})")
    given = {option: _type(known[option]["default"])(value) for option, value in options.items()}
    return {option: given.get(option, facts["default"]) for option, facts in known.items()}


def _type(default: Any) -> type:
    return float if default is None else type(default)


def _home(name: str) -> tuple[str, str]:
    if name not in _METHODS:
        raise ValueError(f"there is no method {name!r}{_hint(name, _METHODS)} (methods: {', '.join(names())})")
    return _METHODS[name]


def _hint(name: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""


def _arguments(docstring: str) -> dict[str, str]:
    """Texts under "Args:", by name of the argument; continued lines are joined."""
    section = re.search(r"^Args:\n((?:[ ]+.*\n?|\n)*)", docstring, re.MULTILINE)
    entries = re.findall(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", section[1] if section else "", re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}


def _measured(bench: str | None) -> Any:
    """What the experiment measured when it was last saved, beside its file."""
    kept = files("labelwise").joinpath("bench", f"{bench}.json")
    return json.loads(kept.read_text(encoding="utf-8")) if bench and kept.is_file() else None
