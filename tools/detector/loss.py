"""YOLOX's loss, for a whole batch at once.

The package's own loss loops over pictures and boxes in Python, which takes most of a training step. Here every picture
has the same number of rows for its boxes, unused ones masked, so that a batch needs no loop. Assignment (SimOTA) and
terms are the same, and so are loss and gradient.
"""

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid, one_hot

RADIUS = 1.5  # a cell may answer for a box whose centre is at most so many strides away
CANDIDATES = 10  # cells that are asked how many of them a box shall get


def overlaps(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Returns the IoU of boxes (x, y of the centre, width, height), broadcast over their leading dimensions."""
    low = torch.maximum(a[..., :2] - a[..., 2:] / 2, b[..., :2] - b[..., 2:] / 2)
    high = torch.minimum(a[..., :2] + a[..., 2:] / 2, b[..., :2] + b[..., 2:] / 2)
    common = (high - low).clamp(min=0).prod(-1)
    return common / (a[..., 2:].prod(-1) + b[..., 2:].prod(-1) - common + 1e-8)


@torch.no_grad()
def assign(
    boxes: torch.Tensor,
    objectness: torch.Tensor,
    classes: torch.Tensor,
    truth: torch.Tensor,
    centres: torch.Tensor,
    strides: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Returns which cells answer for a box (B, A), for which (B, A), and their IoU with it (B, A).

    Parameters: predicted boxes (B, A, 4), logits (B, A) and (B, A, C), truth (B, G, 5) as class (-1: unused row), x, y
    of the centre, width, height; the cells' centres (A, 2) in pixels and strides (A,).
    """
    used = truth[..., :1] >= 0  # (B, G, 1)
    near = ((centres - truth[:, :, None, 1:3]).abs() < RADIUS * strides[:, None]).all(-1) & used  # (B, G, A)
    candidate = near.any(1, keepdim=True) & used  # cells near any box, for every box of that picture
    iou = overlaps(truth[:, :, None, 1:], boxes[:, None]) * candidate
    # Cross-entropy of the joint score p = sqrt(class × objectness) with the one-hot class, summed over classes.
    log_p = (logsigmoid(classes) + logsigmoid(objectness)[..., None]) / 2  # (B, A, C)
    log_not_p = torch.log1p(-log_p.exp().clamp(max=1 - 1e-6))
    own = truth[..., 0].clamp(min=0).long()[..., None].expand(-1, -1, len(centres))  # (B, G, A)
    class_cost = (log_not_p - log_p).transpose(1, 2).gather(1, own) - log_not_p.sum(-1)[:, None]
    cost = class_cost - 3 * torch.log(iou + 1e-8) + 1e6 * ~near
    cost = cost.masked_fill(~candidate, float("inf"))
    # A box gets as many cells as its ten best IoUs sum up to, the cheapest ones.
    count = iou.topk(CANDIDATES, -1).values.sum(-1).int().clamp(min=1)  # (B, G)
    cheapest = cost.topk(CANDIDATES, -1, largest=False)
    taken = (torch.arange(CANDIDATES, device=cost.device) < count[..., None]) & cheapest.values.isfinite()
    matching = torch.zeros_like(candidate.expand_as(cost)).scatter(-1, cheapest.indices, taken)
    # A cell that several boxes want goes to the one for which it is cheapest.
    several = matching.sum(1, keepdim=True) > 1
    first = torch.zeros_like(matching).scatter(1, cost.argmin(1, keepdim=True), True)
    matching = torch.where(several, first, matching)
    owner = matching.int().argmax(1)
    return matching.any(1), owner, iou.gather(1, owner[:, None])[:, 0]


def yolox_loss(raw: torch.Tensor, truth: torch.Tensor, cells: torch.Tensor, strides: torch.Tensor) -> torch.Tensor:
    """Returns the loss of a batch: 5 × IoU + objectness + class + L1, each per answering cell.

    ``raw``, float32 (B, A, 5 + C), is the network's output before any sigmoid; ``truth`` is as for ``assign``.
    """
    position, size, objectness, classes = raw[..., :2], raw[..., 2:4], raw[..., 4], raw[..., 5:]
    boxes = torch.cat([(position + cells) * strides[:, None], size.clamp(max=6).exp() * strides[:, None]], -1)
    answers, owner, iou = assign(boxes, objectness, classes, truth, (cells + 0.5) * strides[:, None], strides)
    wanted = truth.gather(1, owner[..., None].expand(-1, -1, 5))  # (B, A, 5); nonsense where nothing answers
    weight = answers.float()
    number = weight.sum().clamp(min=1)

    box_loss = ((1 - overlaps(boxes, wanted[..., 1:]) ** 2) * weight).sum()
    objectness_loss = binary_cross_entropy_with_logits(objectness, weight, reduction="sum")
    target = one_hot(wanted[..., 0].clamp(min=0).long(), classes.shape[-1]) * iou[..., None]
    class_loss = (binary_cross_entropy_with_logits(classes, target, reduction="none").sum(-1) * weight).sum()
    exact = torch.cat(
        [wanted[..., 1:3] / strides[:, None] - cells, (wanted[..., 3:] / strides[:, None] + 1e-8).log()], -1
    )
    l1_loss = ((raw[..., :4] - exact).abs().sum(-1) * weight).sum()
    return (5 * box_loss + objectness_loss + class_loss + l1_loss) / number
