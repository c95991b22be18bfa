import pytest
import torch
import torch.nn.functional as F
from torch import nn

from labelwise.functional import masked_cross_entropy, mixed_cross_entropy
from labelwise.mixing import (
    CMixup,
    CutMix,
    FMix,
    ManifoldMixup,
    Mixup,
    OneOf,
    ResizeMix,
    SaliencyMix,
    SelfMix,
    reversed_partners,
    unmixed,
)

MIXERS = [
    Mixup(0.4),
    Mixup(0.4, own_half=True),
    Mixup(0.4, mode="example"),
    CutMix(1.0),
    CutMix(1.0, mode="example"),
    SaliencyMix(1.0),
    SaliencyMix(1.0, mode="example"),
    ResizeMix(),
    FMix(1.0),
    FMix(1.0, mode="example", soft=0.1),
    FMix(1.0, as_released=True),
    SelfMix(1, Mixup(0.5)),
    OneOf([Mixup(1.0), CutMix(1.0)]),
]
CUTTERS = [mixer for mixer in MIXERS if isinstance(mixer, CutMix | SaliencyMix | ResizeMix | FMix)]


def pictures(n=6):
    return torch.randn(n, 2, 8, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("mixer", MIXERS, ids=lambda mixer: type(mixer).__name__)
@pytest.mark.parametrize("n", [1, 3, 6])
def test_equal_generators_give_equal_mixtures_and_the_inputs_stay(mixer, n):
    inputs = pictures(n)
    before = inputs.clone()
    state = torch.get_rng_state()
    one, two = (mixer(inputs, seeded(3)) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(inputs, before)
    assert all(a is b is None or torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert one.partner.sort().values.tolist() == list(range(n))
    assert one.inputs.dtype == one.weight.dtype == torch.float64


@pytest.mark.parametrize("mixer", MIXERS, ids=lambda mixer: type(mixer).__name__)
def test_who_is_its_own_partner_stays_bit_by_bit(mixer):
    mixed = mixer(pictures(), seeded(), torch.arange(6))
    if isinstance(mixer, ResizeMix):  # a small copy of itself is something else
        assert torch.equal(mixed.inputs[mixed.mask.expand_as(mixed.inputs)], pictures()[mixed.mask.expand(6, 2, 8, 10)])
    else:
        assert torch.equal(mixed.inputs, pictures())


@pytest.mark.parametrize("mixer", [Mixup(0.0), Mixup(0.0, own_half=True), CutMix(0.0), SaliencyMix(0.0), FMix(0.0)])
def test_a_share_of_one_gives_the_inputs_back(mixer):
    mixed = mixer(pictures())
    assert torch.equal(mixed.inputs, pictures())
    assert (mixed.weight == 1).all()
    assert (mixed.label_weight == 1).all()


@pytest.mark.parametrize("mode", ["batch", "example", "pair"])
def test_mixup_adds_in_shares(mode):
    mixed = Mixup(1.0, mode=mode)(pictures(), seeded(1), reversed_partners(6))
    torch.testing.assert_close(mixed.inputs, mixed.share(pictures()))
    if mode == "batch":
        torch.testing.assert_close(mixed.inputs.mean(0), pictures().mean(0))
    if mode != "example":  # two that are mixed with each other are two complementary mixtures
        torch.testing.assert_close(mixed.inputs + mixed.inputs.flip(0), pictures() + pictures().flip(0))


def test_own_half_is_the_larger_share():
    for seed in range(20):
        assert (Mixup(0.5, own_half=True)(pictures(), seeded(seed)).weight >= 0.5).all()


@pytest.mark.parametrize("mixer", CUTTERS, ids=lambda mixer: type(mixer).__name__)
def test_labels_count_by_the_area_that_stayed(mixer):
    for seed in range(20):
        inputs = pictures()
        mixed = mixer(inputs, seeded(seed))
        torch.testing.assert_close(mixed.mask.double().mean((1, 2, 3)), mixed.label_weight, atol=1e-7, rtol=0)
        if mixed.mask.dtype == torch.bool:
            kept = mixed.mask.expand_as(inputs)
            assert torch.equal(mixed.inputs[kept], inputs[kept])
            if not isinstance(mixer, ResizeMix):
                assert torch.equal(mixed.inputs[~kept], inputs[mixed.partner][~kept])


def test_a_resized_picture_is_pasted_whole():
    inputs = torch.arange(2 * 9 * 6.0).reshape(2, 1, 9, 6)
    mixed = ResizeMix(1 / 3, 1 / 3)(inputs, seeded(), torch.tensor([1, 0]))
    small = inputs[:, :, ::3, ::3].flip(0)
    assert torch.equal(mixed.inputs[~mixed.mask].reshape(2, 1, 3, 2), small)
    whole = ResizeMix(1, 1)(inputs, seeded(), torch.tensor([1, 0]))
    assert torch.equal(whole.inputs, inputs.flip(0))
    assert (whole.label_weight == 0).all()


def test_the_patch_of_saliencymix_lies_around_what_stands_out():
    inputs = torch.zeros(2, 1, 20, 20)
    inputs[0, 0, 5, 7], inputs[1, 0, 14, 12] = 9, 9
    for seed in range(10):
        mixed = SaliencyMix(5.0)(inputs, seeded(seed), torch.tensor([1, 0]))
        assert mixed.inputs[0, 0, 14, 12] == 9
        assert mixed.inputs[1, 0, 5, 7] == 9


def test_masks_of_fmix_hold_their_share_of_pixels():
    for soft in (0.0, 0.2):
        mixed = FMix(1.0, soft=soft, mode="example")(torch.zeros(50, 1, 16, 16), seeded())
        share = Mixup(1.0, mode="example")(torch.zeros(50, 1), seeded()).weight
        torch.testing.assert_close(mixed.label_weight, share, atol=1 / 256 + 1e-6, rtol=0)


@pytest.mark.parametrize("layers", [[0, 1], [1], []])
def test_manifold_mixup_mixes_where_it_was_drawn(layers):
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)).double()
    mixer = ManifoldMixup([model[at] for at in layers], alpha=1.0)
    inputs = torch.randn(5, 4, dtype=torch.float64)
    sites = set()
    for seed in range(12):
        mixed = mixer(inputs, seeded(seed))
        at = 0 if mixed.site is None else list(model).index(mixed.site) + 1
        sites.add(at)
        hidden = model[:at](inputs)
        hidden = mixed.weight[:, None] * hidden + (1 - mixed.weight[:, None]) * hidden[mixed.partner]
        torch.testing.assert_close(mixed.through(model), model[at:](hidden))
    assert sites == {0, *(at + 1 for at in layers)}
    assert not any(module._forward_hooks for module in model)


def test_selfmix_never_touches_another_picture():
    inputs = torch.randn(12, 5)  # three crops of four pictures, crop by crop
    changed = inputs.clone()
    changed[::4] += 100
    one, two = (SelfMix(3)(each, seeded(2)) for each in (inputs, changed))
    assert torch.equal(one.partner % 4, torch.arange(12) % 4)
    others = torch.arange(12) % 4 != 0
    assert torch.equal(one.inputs[others], two.inputs[others])
    same = torch.arange(4.0).repeat(3)[:, None].expand(12, 5)
    assert torch.equal(SelfMix(3)(same, seeded()).inputs, same)
    with pytest.raises(ValueError, match="a batch of 11 does not hold 3 crops"):
        SelfMix(3)(inputs[:11])


def test_one_mixer_is_chosen_a_batch():
    mixer = OneOf([Mixup(1.0), CutMix(1.0)], [0.3, 0.5])
    kinds = []
    for seed in range(400):
        mixed = mixer(pictures(), seeded(seed))
        kinds.append("cut" if mixed.mask is not None else "whole" if torch.equal(mixed.inputs, pictures()) else "sum")
    assert abs(kinds.count("sum") / 400 - 0.3) < 0.08
    assert abs(kinds.count("cut") / 400 - 0.5) < 0.08
    assert OneOf([])(pictures()).inputs is not None
    assert (unmixed(pictures()).weight == 1).all()
    with pytest.raises(ValueError, match="2 mixers need as many probabilities; got 1"):
        OneOf([Mixup(), CutMix()], [1.0])
    with pytest.raises(ValueError, match="sum to at most 1"):
        OneOf([Mixup(), CutMix()], [0.7, 0.7])


def test_the_mixed_loss_is_cross_entropy_with_mixed_targets():
    mixed = Mixup(1.0)(pictures(), seeded(1))
    logits = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 1, 2, 3, 1, 0])
    targets = mixed.targets(labels, 4)
    torch.testing.assert_close(targets, mixed.share(F.one_hot(labels, 4).double()))
    losses = [
        mixed.loss(masked_cross_entropy, logits, labels),
        mixed_cross_entropy(logits, labels, mixed.partner, mixed.label_weight),
        F.cross_entropy(logits, targets, reduction="none"),
    ]
    slopes = [torch.autograd.grad(each.sum(), logits, retain_graph=True)[0] for each in losses]
    for loss, slope in zip(losses[1:], slopes[1:], strict=True):
        torch.testing.assert_close(losses[0], loss)
        torch.testing.assert_close(slopes[0], slope)


def test_what_cannot_be_mixed_is_refused():
    with pytest.raises(ValueError, match=r"CutMix takes pictures .* got \[3, 5\]"):
        CutMix()(torch.zeros(3, 5))
    with pytest.raises(ValueError, match="alpha must be at least 0; got -1"):
        Mixup(-1.0)
    with pytest.raises(ValueError, match=r"got torch.uint8: convert pictures"):
        Mixup()(torch.zeros(2, 3, dtype=torch.uint8))
    with pytest.raises(ValueError, match="needs a layer"):
        ManifoldMixup([], inputs=False)
    assert CutMix()(torch.zeros(2, 3, 4, 4, dtype=torch.uint8)).inputs.dtype == torch.uint8


def test_c_mixup_mixes_near_labels_alone_or_anybody():
    labels = torch.randperm(200, generator=torch.Generator().manual_seed(1)).double()
    inputs = torch.stack([labels, -labels], 1)
    apart = []
    for bandwidth in (1e-6, 2.0, 20.0, float("inf")):
        mixed = CMixup(bandwidth)(inputs, labels, torch.Generator().manual_seed(0))
        torch.testing.assert_close(mixed.inputs[:, 0], mixed.targets(labels))  # inputs and labels in the same shares
        apart.append((labels - labels[mixed.partner]).abs().mean().item())
    assert apart == sorted(apart)
    assert apart[0] == 0
    assert apart[1] < 4
    assert apart[3] == pytest.approx(200 / 3, rel=0.15)
    given = CMixup(1e-6)(inputs, labels, partner=reversed_partners(200))
    assert torch.equal(given.partner, reversed_partners(200))
