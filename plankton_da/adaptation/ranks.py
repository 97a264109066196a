"""One run in several processes at once, as ``torchrun`` starts them: one for each device."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal, ParamSpec, TypeVar

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from plankton_da.errors import ConfigError, ModelError, PlanktonDAError

if TYPE_CHECKING:  # methods average over ranks
    from plankton_da.adaptation.methods.base import Method

_PATIENCE = timedelta(
    days=7
)  # rank 0 may decode an archive; torchrun ends what hangs behind a death
_INTERRUPTED = 130

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together.

    Rank 0 alone writes, records, prints and evaluates. Without ``torchrun`` it is alone, and
    nothing here does anything.
    """

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is rank 0."""
        return self.rank == 0

    @property
    def part(self) -> slice:
        """Which positions of a step's whole batch are this process's."""
        return slice(self.rank, None, self.count)

    def require_parts(self, batch_size: int) -> None:
        """Refuse a batch size that cannot be divided evenly.

        Raises
        ------
        ConfigError
            ``batch_size`` is no multiple of the number of processes.
        """
        if batch_size % self.count:
            below = batch_size - batch_size % self.count
            near = [str(size) for size in (below, below + self.count) if size]
            raise ConfigError(
                f"data.batch_size_per_instrument: {batch_size} cannot be divided over "
                f"{self.count} processes; set it to {' or '.join(near)}, or start another number "
                f"of processes (torchrun --nproc-per-node)"
            )

    def first_does(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Let rank 0 work while the others wait; they get None, and end where it fails."""
        done: T | None = None
        if self.count == 1:
            return work(*args, **kwargs)
        if not self.is_first:
            if (code := _broadcast(None)) is not None:
                raise SystemExit(code)  # rank 0 says why
            return None
        try:
            done = work(*args, **kwargs)
        except BaseException as error:  # also Ctrl-C: the other ranks wait to be told
            _broadcast(_exit_code(error))
            raise
        _broadcast(None)
        return done

    def first_says(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What ``work`` gives on rank 0, on every rank."""
        said = self.first_does(work, *args, **kwargs)
        return said if self.count == 1 else _broadcast(said)  # type: ignore[return-value]  # rank 0's

    def in_turn(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Work on rank 0, then on the others, which find what it left in the cache."""
        done = self.first_does(work, *args, **kwargs)
        return done if self.is_first else work(*args, **kwargs)  # type: ignore[return-value]  # rank 0's

    def any(self, flag: bool) -> bool:
        """Whether ``flag`` is set on any rank."""
        if self.count == 1:
            return flag
        raised = torch.tensor(int(flag))
        distributed.all_reduce(raised, distributed.ReduceOp.MAX)
        return bool(raised)

    def means(self, values: Mapping[str, float]) -> dict[str, float]:
        """The mean of each value over the ranks."""
        return {
            name: float(mean_over_ranks(torch.tensor(value, dtype=torch.float64)))
            for name, value in sorted(values.items())
        }

    def wrap(self, method: Method, image_size: int) -> nn.Module:
        """The method whose gradients are means over the ranks; as it is where it is alone."""
        if self.count == 1:
            return method
        unused = _leaves_layers_out(method, image_size)
        return DistributedDataParallel(method, find_unused_parameters=unused)

    def seed(self, seed: int, step: int) -> None:
        """Random numbers of this rank's own that depend on nothing but ``seed`` and ``step``.

        A single process draws on as it did, from the state that its checkpoint holds.
        """
        if self.count > 1:
            drawn = np.random.SeedSequence([seed, step, self.rank]).generate_state(1, np.uint64)
            torch.manual_seed(int(drawn[0] >> np.uint64(1)))


@contextmanager
def joined_ranks(device: Literal["auto", "cpu", "cuda"]) -> Iterator[Ranks]:
    """Meet the other processes that ``torchrun`` started, if it started any.

    Raises
    ------
    ModelError
        There are more processes on this machine than CUDA devices.
    """
    if distributed.is_available() and distributed.is_initialized():
        yield Ranks(distributed.get_rank(), distributed.get_world_size())
        return
    if not _started_by_torchrun():
        yield Ranks()
        return
    on_cuda = device != "cpu" and torch.cuda.is_available()
    if on_cuda:
        _take_device(int(os.environ["LOCAL_RANK"]))
    backend = "cpu:gloo,cuda:nccl" if on_cuda else "gloo"
    distributed.init_process_group(backend, timeout=_PATIENCE)
    ranks = Ranks(distributed.get_rank(), distributed.get_world_size())
    logger = logging.getLogger("plankton_da")
    level = logger.level
    if not ranks.is_first:
        logger.setLevel(logging.ERROR)
    try:
        yield ranks
    finally:
        logger.setLevel(level)
        distributed.destroy_process_group()


def is_first_process() -> bool:
    """Whether this process is the one that prints a result."""
    return not _started_by_torchrun() or os.environ["RANK"] == "0"


@torch.no_grad()
def mean_over_ranks(tensor: Tensor) -> Tensor:
    """The mean of ``tensor`` over the processes that train together; without gradient."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return tensor
    total = tensor.detach().clone()
    distributed.all_reduce(total)
    return total / distributed.get_world_size()


def apart(method: nn.Module) -> AbstractContextManager[object]:
    """For a forward pass whose gradients the ranks do not share."""
    return method.no_sync() if isinstance(method, DistributedDataParallel) else nullcontext()


def _leaves_layers_out(method: Method, image_size: int) -> bool:
    """Whether the backbone holds layers that pooled features do not pass, as some of timm's do."""
    backbone = method.network.backbone
    learning = [parameter for parameter in backbone.parameters() if parameter.requires_grad]
    if not learning:
        return False
    method.eval()  # no running statistics move
    images = torch.zeros(2, 3, image_size, image_size, device=learning[0].device)
    total = backbone.forward(images).sum()  # not the compiled one
    method.train()
    return None in torch.autograd.grad(total, learning, allow_unused=True)


def _started_by_torchrun() -> bool:
    return distributed.is_available() and distributed.is_torchelastic_launched()


def _take_device(local_rank: int) -> None:
    devices = torch.cuda.device_count()
    if local_rank >= devices:
        raise ModelError(
            f"more than {devices} processes on a machine with {devices} CUDA devices; start "
            f"torchrun --nproc-per-node {devices}, or set training.device: cpu"
        )
    torch.cuda.set_device(local_rank)


def _broadcast(value: T | None) -> T | None:
    """Rank 0's ``value``; never from a file: only these processes speak."""
    box = [value]
    distributed.broadcast_object_list(box, src=0, device=torch.device("cpu"))
    return box[0]


def _exit_code(error: BaseException) -> int:
    if isinstance(error, PlanktonDAError):
        return error.exit_code
    return _INTERRUPTED if isinstance(error, KeyboardInterrupt) else 1
