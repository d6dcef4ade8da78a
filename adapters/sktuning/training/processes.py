"""The processes that share one training, as `accelerate launch` starts them; usually there is one.

Each holds the whole base and all rows, and computes its share of every step. What decides how the
training goes on is decided once, so that all go the same way.
"""

import gc
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import DistributedDataParallelKwargs, broadcast, broadcast_object_list
from torch import Tensor

from sktuning.loading import choose_device

T = TypeVar("T")


class Processes:
    """This process among those that train together.

    Attributes:
        accelerator: device, precision and processes.
        is_main: whether this one evaluates and saves for all.
    """

    def __init__(self, device: torch.device, *, is_fp16: bool) -> None:
        self.accelerator = Accelerator(
            cpu=device.type == "cpu",
            mixed_precision="fp16" if is_fp16 else "no",
            # buffers are constants, which all have
            kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False)],
        )
        self.count = int(self.accelerator.num_processes)
        self.is_main = bool(self.accelerator.is_main_process)

    def share(self, rows: Sequence[T]) -> Sequence[T]:
        """The rows of this process; none when there are fewer rows than processes."""
        return rows[self.accelerator.process_index :: self.count]

    def from_main(self, make: Callable[[], T]) -> T:
        """What the main process made, in all of them."""
        if self.count == 1:
            return make()
        values = [make() if self.is_main else None]
        broadcast_object_list(values)
        return values[0]  # type: ignore[return-value]  # the main one's

    def any(self, is_so: bool) -> bool:
        """Whether it is so in one of them."""
        if is_so:
            self.accelerator.set_trigger()
        return bool(self.accelerator.check_trigger())

    def mean(self, value: Tensor) -> float:
        """The mean of a number () over the processes."""
        return float(self.accelerator.reduce(value, "mean"))

    def align(self, tensors: Iterable[Tensor]) -> None:
        """Write the main process's tensors into everybody's."""
        for tensor in tensors if self.count > 1 else ():
            broadcast(tensor)


def own_device(device: str) -> str:
    """The device of this process, where `auto` or `cuda` stand for one of several."""
    state = PartialState(cpu=choose_device(device).type == "cpu")
    return str(state.device) if device in ("auto", "cuda") else device


def leave() -> None:
    """End this process's part in what several trained: its threads must not outlive that.

    Let go of the trainer before. What holds the group last ends it, and where that is the trainer's
    reducer it does so with the interpreter's lock, which the group's threads may be waiting for.
    """
    gc.collect()
    PartialState().destroy_process_group()
