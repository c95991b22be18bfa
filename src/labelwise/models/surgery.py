"""Looking into a network, and giving it more to see, without knowing how it was built."""

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, TypeVar, cast

import torch
from torch import Tensor, nn

from labelwise.labels.nearest import nearest

M = TypeVar("M", bound=nn.Module)
_FIRST = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


class FeatureTap:
    """What a module gave when it was last run; see `feature_tap`."""

    def __init__(self, path: str):
        self.path = path
        self._features: Tensor | None = None

    @property
    def features(self) -> Tensor:
        """The module's output, or the first tensor in it. Raises `ValueError` if the module has not been run."""
        if self._features is None:
            raise ValueError(f"module {self.path!r} has not been run since it was tapped")
        return self._features

    def _note(self, module: nn.Module, inputs: Any, output: Any) -> None:
        while not isinstance(output, Tensor):
            output = next(iter(output.values() if isinstance(output, Mapping) else output))
        self._features = output


@contextmanager
def feature_tap(model: nn.Module, path: str) -> Iterator[FeatureTap]:
    """Note what the module at `path` gives whenever the model is run in this block.

    `path` is a name of `model.named_modules()`. Gradients flow through what is noted. Raises `ValueError` with the
    nearest name if there is no such module.

    Example: `with feature_tap(detector, "backbone.stage4") as tap: detector(images); tap.features`
    """
    tap = FeatureTap(path)
    handle = _module(model, path).register_forward_hook(tap._note)
    try:
        yield tap
    finally:
        handle.remove()


def with_extra_input_channels(
    model: M, n: int, init: Literal["zero", "kaiming"] = "zero", path: str | None = None
) -> M:
    """A copy of a model whose first layer takes `n` more channels, after those that it had.

    The first layer is the first convolution or linear layer in the order of `model.modules()`, or the one at `path`.
    It is trainable in the copy, even where it was frozen, as it is in some detectors: else nothing would be learned
    from the new channels. Where a module, or its configuration, notes the number of channels as `num_channels`, that is
    raised too; a module with a method `more_channels` has it called with `n`.

    Args:
        model: any module; it is left as it is.
        n: further channels, >= 1.
        init: "zero", the new weights are 0, so that the copy gives what the model gives whatever is in the new
            channels; "kaiming", all weights of the layer are drawn anew (normal, by fan out, for a ReLU), from torch's
            global random numbers, as in the source.
        path: name of the first layer, where that is not the first by order.

    Raises `ValueError` if there is no such layer, or it works on groups of channels.

    Source: Bartolo et al., "Learning Using Privileged Information for Litter Detection" (2025).
    """
    if n < 1:
        raise ValueError(f"n must be at least 1; got {n}")
    if init not in ("zero", "kaiming"):
        raise ValueError(f"init must be zero or kaiming; got {init!r}")
    wider = copy.deepcopy(model)
    layer = next((one for one in wider.modules() if isinstance(one, _FIRST)), None)
    if path is not None:
        layer = _module(wider, path)  # type: ignore[assignment]  # checked next
    if not isinstance(layer, _FIRST) or getattr(layer, "groups", 1) != 1:
        raise ValueError(f"the first layer must be a convolution, not in groups, or linear; got {layer}")
    weight = layer.weight
    before = weight.shape[1]
    new = torch.zeros(weight.shape[0], n, *weight.shape[2:], dtype=weight.dtype, device=weight.device)
    layer.weight = nn.Parameter(torch.cat([weight.detach(), new], 1))
    if init == "kaiming":
        nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    if isinstance(layer, nn.Linear):
        layer.in_features += n
    else:
        layer.in_channels += n
    noted = {id(one): one for module in wider.modules() for one in (module, *_settings(module))}
    for one in noted.values():
        if getattr(one, "num_channels", None) == before:
            cast(Any, one).num_channels = before + n
        if hasattr(one, "more_channels"):
            one.more_channels(n)
    return wider


def _settings(module: nn.Module) -> list[Any]:
    """The configuration that a module of `transformers` carries, and that of its backbone."""
    config = getattr(module, "config", None)
    return [one for one in (config, getattr(config, "backbone_config", None)) if one is not None]


def _module(model: nn.Module, path: str) -> nn.Module:
    modules = dict(model.named_modules())
    if path not in modules:
        raise ValueError(f"the model has no module {path!r}{nearest(path, modules)}")
    return modules[path]
