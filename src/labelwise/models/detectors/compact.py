"""A detector small enough for a processor: it marks the centre of each thing, and how far its edges are."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labelwise.functional import generalized_iou
from labelwise.labels.boxes import Boxes
from labelwise.models.detectors.base import Detector

_STRIDE = 4  # pixels a step of the map of centres
_REACH = 16.0  # pixels from a centre to an edge, where the network says 0
_SPREAD = 0.54 / 6  # standard deviation of a mark over the side of its box
_RARE = 0.1  # the chance of a centre anywhere, to begin with


class CompactDetector(Detector):
    """Marks centres of things on a map of a quarter of the picture's size, without anchors; about 120,000 weights.

    Each class has a map of centres, learned by a focal loss against a bell around each centre; four more maps say how
    far the edges are, learned by generalised IoU, the more the nearer to the centre. A peak of a map is a found box.

    Args:
        n_classes: number of classes, without background.
        in_channels: channels of a picture.
        width: channels after the first layer, a multiple of 4.

    Sources: Zhou et al., "Objects as Points" (2019), the maps and the focal loss; Liu et al., "Training-Time-Friendly
    Network for Real-Time Object Detection" (2020), bells of the shape of the box and the weights of edges.
    """

    tap = "deep"
    first = "shallow.0"

    def __init__(self, n_classes: int, in_channels: int = 3, width: int = 16):
        super().__init__()
        self.shallow = nn.Sequential(
            *_convolution(in_channels, width, 2),
            *_convolution(width, 2 * width, 2),
            *_convolution(2 * width, 2 * width),
        )
        self.deep = nn.Sequential(
            *_convolution(2 * width, 4 * width, 2),
            *_convolution(4 * width, 4 * width),
            *_convolution(4 * width, 4 * width),
        )
        self.narrow = nn.Conv2d(4 * width, 2 * width, 1)
        self.join = nn.Sequential(*_convolution(2 * width, 2 * width))
        self.centres = nn.Conv2d(2 * width, n_classes, 1)
        self.edges = nn.Conv2d(2 * width, 4, 1)
        nn.init.constant_(self.centres.bias, -math.log(1 / _RARE - 1))  # type: ignore[arg-type]

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of centres `[batch, classes, h, w]`, and boxes x1, y1, x2, y2 in pixels `[batch, 4, h, w]`."""
        shallow = self.shallow(4 * images - 2)
        deep = F.interpolate(self.narrow(self.deep(shallow)), shallow.shape[2:], mode="bilinear")
        joined = self.join(shallow + deep)
        reach = self.edges(joined).clamp(max=5).exp() * _REACH
        x, y = _grid(joined)
        left, up, right, down = reach.unbind(1)
        return self.centres(joined), torch.stack([x - left, y - up, x + right, y + down], 1)

    def loss(self, images: Tensor, targets: Sequence[Boxes]) -> Tensor:
        """Focal loss of the centres a box, plus five times the mean of 1 - generalised IoU near them."""
        logits, boxes = self(images)
        goals, weights, wanted = (
            torch.stack(each) for each in zip(*(self._goal(one, logits[0]) for one in targets), strict=True)
        )
        chances = logits.sigmoid()
        hit = (1 - chances) ** 2 * F.logsigmoid(logits)
        miss = (1 - goals) ** 4 * chances**2 * F.logsigmoid(-logits)
        centres = -torch.where(goals == 1, hit, miss).sum() / (goals == 1).sum().clamp(min=1)
        apart = 1 - generalized_iou(boxes.movedim(1, -1), wanted.movedim(1, -1))
        return centres + 5 * (weights * apart).sum() / weights.sum().clamp(min=1e-6)

    @torch.no_grad()
    def predict(self, images: Tensor) -> list[Boxes]:
        """The 100 highest peaks of each picture."""
        logits, boxes = self(images)
        chances = logits.sigmoid()
        peaks = torch.where(chances == F.max_pool2d(chances, 3, 1, 1), chances, 0)
        scores, places = peaks.flatten(1).topk(min(100, peaks[0].numel()))
        labels, cells = places // boxes[0, 0].numel(), places % boxes[0, 0].numel()
        corners = boxes.flatten(2).gather(2, cells[:, None].expand(-1, 4, -1)).movedim(1, -1)
        size = torch.tensor([images.shape[3], images.shape[2]] * 2, device=images.device)
        corners = torch.minimum(corners.clamp(min=0), size)
        found = zip(corners.cpu().numpy(), labels.cpu().numpy(), scores.cpu().numpy(), strict=True)
        return [Boxes(*(each[one[2] > 0] for each in one)) for one in found]

    def _goal(self, target: Boxes, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of one picture: the goal of each centre `[classes, h, w]`, the weight of each cell's box `[h, w]`, and that
        box `[4, h, w]`."""
        goal, weight = torch.zeros_like(like), torch.zeros_like(like[0])
        wanted = torch.zeros(4, *weight.shape, device=like.device)
        if not len(target.labels):
            return goal, weight, wanted
        corners = torch.from_numpy(target.corners).to(like.device)
        labels = torch.from_numpy(target.labels).to(like.device)
        middle = (corners[:, :2] + corners[:, 2:]) / 2
        last = torch.tensor([like.shape[2] - 1, like.shape[1] - 1], device=like.device)
        cell = torch.minimum((middle / _STRIDE).floor().clamp(min=0), last)
        centre = (cell + 0.5) * _STRIDE
        spread = ((corners[:, 2:] - corners[:, :2]) * _SPREAD).clamp(min=_STRIDE / 4)
        x, y = _grid(like)
        across = ((x - centre[:, 0, None, None]) / spread[:, 0, None, None]) ** 2
        along = ((y - centre[:, 1, None, None]) / spread[:, 1, None, None]) ** 2
        bells = torch.exp(-(across + along) / 2)
        weight, nearest = bells.max(0)
        goal.scatter_reduce_(0, labels[:, None, None].expand_as(bells), bells, "amax")
        return goal, torch.where(weight > 0.1, weight, 0), corners[nearest].movedim(-1, 0)


def _grid(like: Tensor) -> tuple[Tensor, Tensor]:
    """The pixel at the middle of each column `[w]` and row `[h, 1]` of cells of a map `[..., h, w]`."""
    x = (torch.arange(like.shape[-1], device=like.device) + 0.5) * _STRIDE
    y = (torch.arange(like.shape[-2], device=like.device) + 0.5) * _STRIDE
    return x, y[:, None]


def _convolution(before: int, after: int, stride: int = 1) -> list[nn.Module]:
    # Groups of channels are normalised within a picture, so that small batches and a teacher in eval mode do no harm.
    return [nn.Conv2d(before, after, 3, stride, padding=1, bias=False), nn.GroupNorm(4, after), nn.ReLU()]
