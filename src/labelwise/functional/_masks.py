"""Which part of a picture is taken from which example."""

import torch
import torch.nn.functional as F
from torch import Tensor

_SURROUNDINGS = (3, 7, 15, 31)  # pixels


def fourier_field(noise: Tensor, height: int, width: int, decay: float = 3.0) -> Tensor:
    """Random grey pictures `[batch, height, width]` in [0, 1], the smoother the larger `decay` is.

    Args:
        noise: complex `[batch, height, width // 2 + 1]`, the spectrum before it decays.
        height: in pixels.
        width: in pixels.
        decay: frequency f is damped by `max(f, 1 / max(height, width)) ** decay`; >= 0.

    Source: Harris et al., "FMix" (2020), section 3.
    """
    down = torch.fft.fftfreq(height, device=noise.device)[:, None]
    across = torch.fft.rfftfreq(width, device=noise.device)
    frequency = torch.sqrt(down**2 + across**2).clamp(min=1 / max(height, width))
    field = torch.fft.irfft2(noise / frequency**decay, (height, width))
    low, high = (getattr(field.flatten(1), end)(1)[:, None, None] for end in ("amin", "amax"))
    return (field - low) / (high - low).clamp(min=torch.finfo(field.dtype).tiny)


def largest_share(field: Tensor, weight: Tensor, upwards: Tensor, soft: float = 0.0) -> Tensor:
    """Mark the share `weight` of pixels with the largest values: 1 there and 0 elsewhere, `[batch, height, width]`.

    Args:
        field: `[batch, height, width]`.
        weight: `[batch]` in [0, 1].
        upwards: bool `[batch]`: round the number of pixels up, else down.
        soft: half the width of a ramp from 1 to 0, as a share of all pixels in [0, 1]; it is cut to weight and to
            1 - weight. At 0 the mask is bool.

    Source: Harris et al., "FMix" (2020), section 3.
    """
    pixels = field[0].numel()
    # float32 would count 0.3 of 10 pixels as more than 3.
    wanted, slack = weight.double() * pixels, pixels * torch.finfo(weight.dtype).eps
    wanted = torch.where(upwards, (wanted - slack).ceil(), (wanted + slack).floor())[:, None]
    place = field.flatten(1).argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    if soft == 0:
        return (place < wanted).reshape(field.shape)
    half = (torch.minimum(weight, 1 - weight).clamp(max=soft).double() * pixels)[:, None]
    ramp = (wanted + half - place - 0.5) / (2 * half).clamp(min=1e-9)
    return ramp.clamp(0, 1).to(weight.dtype).reshape(field.shape)


def contrast_saliency(pictures: Tensor) -> Tensor:
    """How much each pixel stands out from its surroundings, `[batch, height, width]`, at least 0.

    Sum over surroundings of 3, 7, 15 and 31 pixels of how far the mean over channels is from its mean around it.

    Args:
        pictures: `[batch, channels, height, width]`.

    Source: after Montabone and Soto, "Human detection using a mobile platform and novel features derived from a visual
    saliency mechanism" (2010).
    """
    grey = pictures.to(torch.promote_types(pictures.dtype, torch.float32)).mean(1, keepdim=True)
    around = [F.avg_pool2d(grey, side, 1, side // 2, count_include_pad=False) for side in _SURROUNDINGS]
    return torch.stack([(grey - mean).abs() for mean in around]).sum(0)[:, 0]


def window_sums(maps: Tensor, side: int) -> Tensor:
    """Sums of maps `[batch, height, width]` over square windows, `[batch, height - side + 1, width - side + 1]`."""
    return F.avg_pool2d(maps[:, None], side, 1, divisor_override=1)[:, 0]


def extreme_window(maps: Tensor, side: int, largest: bool) -> Tensor:
    """Where the window with the largest, or the smallest, sum begins; of equal ones the first in reading order.

    Args:
        maps: `[batch, height, width]`.
        side: of the square window, from 1 to the shorter side.
        largest: whether the largest sum is looked for.

    Returns:
        int64 `[batch, 2]`: row and column of its left upper corner.
    """
    sums = window_sums(maps, side)
    across = sums.shape[2]
    flat = sums.flatten(1) if largest else -sums.flatten(1)
    # argmax does not promise the first of equal ones.
    first = (flat == flat.amax(1, keepdim=True)).int().cumsum(1).eq(0).sum(1)
    return torch.stack([first // across, first % across], -1)


def masked_mean(tokens: Tensor, mask: Tensor) -> Tensor:
    """Mean of the tokens that are marked, `[batch, d]`; 0 where none is.

    Args:
        tokens: `[batch, n, d]`.
        mask: bool `[batch, n]`.
    """
    kept = mask.to(tokens.dtype)
    return torch.einsum("bnd,bn->bd", tokens, kept) / kept.sum(1, keepdim=True).clamp(min=1)


def attention_share(mask: Tensor, attention: Tensor) -> Tensor:
    """The share of attention on the parts of a picture that are its own, `[batch]` in [0, 1].

    Args:
        mask: bool or share `[batch, 1, height, width]`, 1 where a picture is its own.
        attention: `[batch, side * side]`, at least 0, of square patches in reading order.

    Raises `ValueError` if the number of patches is no square.

    Source: Chen et al., "TransMix" (2022), eq. 4.
    """
    side = round(attention.shape[1] ** 0.5)
    if side * side != attention.shape[1]:
        raise ValueError(f"attention must be on a square of patches; got {attention.shape[1]} of them")
    own = F.interpolate(mask.to(attention.dtype), (side, side), mode="nearest").flatten(1)
    total = attention.sum(1)
    return (own * attention).sum(1) / total.clamp(min=torch.finfo(total.dtype).tiny)
