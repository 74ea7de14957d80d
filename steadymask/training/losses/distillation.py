"""What a student learns from how a teacher sees frames together: likeness of pixels."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from stages.ops.shapes import bind_shapes

SIDE = 16  # rows and columns that pictures are pooled to: a map of likeness has their 4th power
EMBEDDING = 8  # channels
KERNEL = 3
BOUND = 0.5  # of the weights
LEAST = 1e-7  # probability, so that a logarithm is finite


def cosine_similarity(first: Tensor, second: Tensor) -> Tensor:
    """Return the cosine between every pixel of one tensor and every pixel of another.

    ``a_ij = x_iᵀ y_j / (|x_i| |y_j|)``, the operator AT of Liu et al., "Efficient video
    segmentation models with per-frame inference", section III-B.

    Parameters
    ----------
    first, second : Tensor, shape (B, D, H, W), float

    Returns
    -------
    Tensor, shape (B, H·W, H·W), in [−1, 1]
        Row i is a pixel of `first`; 0 where a pixel is 0.

    Raises
    ------
    ShapeError
        If sizes do not agree.
    """
    bind_shapes(first=(first, "B D H W"), second=(second, "B D H W"))
    x, y = (functional.normalize(values.flatten(2), dim=1) for values in (first, second))
    return x.transpose(1, 2) @ y


def pair_wise_loss(
    student: tuple[Tensor, Tensor], teacher: tuple[Tensor, Tensor], *, side: int = SIDE
) -> Tensor:
    """Return the mean squared difference of two maps of likeness between two frames' masks.

    ``1/N² Σ_ij (a^S_ij − a^T_ij)²``, Liu et al., eq. 2, with N pixels. Read here: masks are pooled
    to `side` x `side` means first, since N² numbers of whole pictures fit no memory.

    Parameters
    ----------
    student, teacher : pairs of Tensor, shape (B, C, H, W), float
        Masks of frames t and t+k; C and size of the teacher's may be others.
    side : int
        Rows and columns to pool to, at most; or those of the smaller masks.

    Returns
    -------
    Tensor, scalar, >= 0
        Mean over items. No gradient flows to the teacher.

    Raises
    ------
    ShapeError
        If sizes do not agree.
    """
    for name, pair in (("student", student), ("teacher", teacher)):
        bind_shapes(**{f"{name}[{k}]": (mask, "B C H W") for k, mask in enumerate(pair)})
    grid = _pooling_grid(student[0], teacher[0], side)
    own = cosine_similarity(*(functional.adaptive_avg_pool2d(mask, grid) for mask in student))
    with torch.no_grad():
        wanted = cosine_similarity(
            *(functional.adaptive_avg_pool2d(mask, grid) for mask in teacher)
        )
    bind_shapes(student=(own, "B N N"), teacher=(wanted, "B N N"))
    return (own - wanted).square().mean()


def single_frame_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the divergence of the student's masks of a frame from the teacher's.

    ``1/N Σ_x KL(Q^S(x) ‖ Q^T(x))``, the single-frame term (SF) of PFI's conference version, after
    Liu et al., "Structured knowledge distillation for semantic segmentation", CVPR 2019, eq. 1.

    Parameters
    ----------
    student, teacher : Tensor, shape (B, C, H, W), float
        Masks, sum over classes 1.

    Returns
    -------
    Tensor, scalar, >= 0, in nats
        Mean over pixels and items. No gradient flows to the teacher.

    Raises
    ------
    ShapeError
        If sizes do not agree.
    """
    bind_shapes(student=(student, "B C H W"), teacher=(teacher, "B C H W"))
    wanted = teacher.detach().clamp(min=LEAST).log()
    ratio = student.clamp(min=LEAST).log() - wanted
    return (student * ratio).sum(dim=1).mean()


class ConvLSTM(nn.Module):
    """Turns a sequence of maps into one embedding; shared by teacher and student.

    Shi et al., "Convolutional LSTM network", NIPS 2015, eq. 3, one layer. Read here: a peephole is
    a number for each channel, so that maps may have any size; the embedding is the mean over
    positions of the last hidden state.
    """

    def __init__(self, channels: int = EMBEDDING) -> None:
        super().__init__()
        pad = KERNEL // 2
        self.channels = channels
        self.of_input = nn.Conv2d(1, 4 * channels, KERNEL, padding=pad)
        self.of_hidden = nn.Conv2d(channels, 4 * channels, KERNEL, padding=pad, bias=False)
        self.peephole = nn.Parameter(torch.zeros(3, channels, 1, 1))
        self.clip()

    def forward(self, maps: Tensor) -> Tensor:
        """Return the embedding (B, D) of maps (B, T, N, M), T >= 1."""
        dims = bind_shapes(maps=(maps, "B T N M"))
        shape = dims["B"], self.channels, dims["N"], dims["M"]
        hidden = cell = maps.new_zeros(shape)
        for t in range(dims["T"]):
            gates = self.of_input(maps[:, t : t + 1]) + self.of_hidden(hidden)
            enter, forget, candidate, leave = gates.chunk(4, dim=1)
            enter = torch.sigmoid(enter + self.peephole[0] * cell)
            forget = torch.sigmoid(forget + self.peephole[1] * cell)
            cell = forget * cell + enter * torch.tanh(candidate)
            hidden = torch.sigmoid(leave + self.peephole[2] * cell) * torch.tanh(cell)
        return hidden.mean(dim=(2, 3))

    @torch.no_grad()
    def clip(self, bound: float = BOUND) -> None:
        """Hold all weights in [−bound, bound]; to be called after each step of training."""
        for parameter in self.parameters():
            parameter.clamp_(-bound, bound)


def multi_frame_loss(
    lstm: ConvLSTM, student: Tensor, teacher: Tensor, *, side: int = SIDE
) -> tuple[Tensor, Tensor]:
    """Return how far the embeddings of two sequences are apart, and how large the teacher's is.

    ``‖E_T − E_S‖²`` over the embeddings of the frames' self-similarity maps, Liu et al., section
    III-B; and ``‖E_T‖²``, which is to be enlarged, or weights of 0 would be the best.

    Parameters
    ----------
    lstm : ConvLSTM
        Learns with the student.
    student, teacher : Tensor, shape (B, T, D, H, W), float
        Features of the same frames; the teacher's D and size may be others.
    side : int
        Rows and columns to pool to, at most; or those of the smaller features.

    Returns
    -------
    distance, extent : Tensor, scalar, >= 0
        Means over items. No gradient flows to the teacher.

    Raises
    ------
    ShapeError
        If sizes do not agree.
    """
    bind_shapes(student=(student, "B T D H W"), teacher=(teacher, "B T E I J"))
    grid = _pooling_grid(student, teacher, side)
    ours = lstm(_self_similarity(student, grid))
    theirs = lstm(_self_similarity(teacher.detach(), grid))
    return (theirs - ours).square().sum(dim=1).mean(), theirs.square().sum(dim=1).mean()


def _self_similarity(features: Tensor, grid: tuple[int, int]) -> Tensor:
    """Return the maps (B, T, N, N) of features (B, T, D, H, W)."""
    flat = functional.adaptive_avg_pool2d(features.flatten(0, 1), grid)
    maps = cosine_similarity(flat, flat)
    return maps.reshape(*features.shape[:2], *maps.shape[1:])


def _pooling_grid(student: Tensor, teacher: Tensor, side: int) -> tuple[int, int]:
    """Return rows and columns that both can be pooled to."""
    rows, columns = (min(side, student.shape[k], teacher.shape[k]) for k in (-2, -1))
    return rows, columns
