"""The one training loop, for every method: CPU, one GPU or several, killed and resumed exactly.

Exactness rests on one rule: everything random in step s of rank r is a function of (seed, s, r). The order of the data
is (`crossfade.data.batches.StepSampler`); the global torch generator is seeded so before each step; a checkpoint
therefore needs no generator state, only weights, optimiser, method state and the number of steps done.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt

from crossfade.checkpoints import newest_common, save_checkpoint
from crossfade.data.batches import batches
from crossfade.data.clip import Clip
from crossfade.data.loading import ClipDataset
from crossfade.device import choose_device
from crossfade.diagnosis import Diagnosis
from crossfade.errors import UserError
from crossfade.methods.base import Method, StepOutput
from crossfade.optimisation import OptimiserParameters, build_optimiser, set_learning_rate
from crossfade.progress import StepProgress
from crossfade.snapshots import Snapshots
from crossfade.tracking import NoTracker, Tracker

if TYPE_CHECKING:
    import numpy as np
    from accelerate import Accelerator

_log = logging.getLogger(__name__)
_HUGE = 1 << 40  # first step of the batches for `prepare` and `finish`: far from those of any training step


class TrainingParameters(BaseModel):
    """The numbers of a training that can change its result.

    Attributes:
        steps: optimiser updates; 0 leaves the network as it is.
        batch: clips of each side a step, process and accumulation.
        accumulate: forward-backward passes an update.
        precision: "fp32" or "bf16" (autocast).
        deterministic: ask torch for deterministic algorithms (slower on a GPU; it has none for `etc`, `davss`, `psp`).
        optimiser: see OptimiserParameters.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: NonNegativeInt = 300
    batch: PositiveInt = 4
    accumulate: PositiveInt = 1
    precision: Literal["fp32", "bf16"] = "fp32"
    deterministic: bool = False
    optimiser: OptimiserParameters = OptimiserParameters()


@dataclass(frozen=True)
class Knobs:
    """What cannot change a result: where and how fast it runs, and how often it tells.

    Attributes:
        device: "cpu", "cuda", …; None = a GPU if there is one.
        workers: processes that read ahead.
        compile: torch.compile the per-frame network.
        diagnosis: is told of every pseudo label, and what it says is logged; see there.
        snapshots: shows somebody what would be deployed if the training ended now and then; see there.
        checkpoint_every, log_every, figure_every: steps; figure_every 0 = no figures.
    """

    device: str | None = None
    workers: int = 0
    compile: bool = False
    diagnosis: Diagnosis = field(default_factory=Diagnosis)
    snapshots: Snapshots = field(default_factory=Snapshots)
    checkpoint_every: int = 100
    log_every: int = 10
    figure_every: int = 100


def make_accelerator(parameters: TrainingParameters, knobs: Knobs) -> "Accelerator":
    """The processes and devices this training runs on (one process unless launched with `accelerate launch`)."""
    from accelerate import Accelerator  # here, because a second of every stage that does not train is a second lost

    if parameters.deterministic:
        torch.use_deterministic_algorithms(True)
    device = choose_device(knobs.device)
    if device.index is not None:
        torch.cuda.set_device(device)
    precision = "bf16" if parameters.precision == "bf16" else "no"
    return Accelerator(cpu=device.type == "cpu", mixed_precision=precision)


def train(
    method: Method,
    source: ClipDataset | None,
    target: ClipDataset | None,
    parameters: TrainingParameters,
    seed: int,
    folder: Path,
    accelerator: "Accelerator",
    knobs: Knobs | None = None,
    tracker: Tracker | None = None,
    what: str = "training",
    identity: str = "",
) -> int:
    """Train to the last step, from the newest checkpoint in `folder` if there is one.

    Args:
        method: built around a network that is on the accelerator's device.
        source, target: what the method needs of each side; None where it needs nothing.
        parameters: the numbers.
        seed: of everything random.
        folder: checkpoints; survives a kill, removed by the caller when the result is written.
        accelerator: from `make_accelerator`.
        knobs: what cannot change the result.
        tracker: where numbers and figures go (rank 0 alone writes).
        what: for the progress bar.
        identity: anything that makes this training another one (starting weights, data hashes).

    Returns:
        The step it resumed from (0: from the beginning).

    Raises:
        UserError: the loss is not finite, no space is left, or every checkpoint is damaged.
    """
    knobs, tracker = knobs or Knobs(), tracker or NoTracker()
    rank, world, device = accelerator.process_index, accelerator.num_processes, accelerator.device
    total = parameters.steps if method.trains else 0
    network = method.network
    if knobs.compile:
        network.frame.compile()

    def reader(dataset: ClipDataset | None, first: int, odds: "np.ndarray | None" = None) -> Iterator[Clip] | None:
        if dataset is None:
            return None
        stream = int(dataset is target)
        clips = batches(dataset, parameters.batch, seed, first, rank, world, knobs.workers, stream, odds)
        return (clip.to(device) for clip in clips)

    def once(work: Callable[..., None], salt: int) -> None:
        torch.manual_seed(_step_seed(seed, -salt, rank))
        work(reader(source, _HUGE * salt), reader(target, _HUGE * salt))

    optimiser = build_optimiser(network, parameters.optimiser)
    fingerprint = _fingerprint(method, parameters, seed, world, identity)
    found = newest_common(folder, fingerprint, accelerator)
    if found:
        first, state = found
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        method.load_state_dict(state["method"])
        _log.warning("%s: resumed at step %d of %d", what, first, total)
    else:
        first = 0
        once(method.prepare, 1)

    def save(done: int) -> None:
        state = {"fingerprint": fingerprint, "step": done, "network": network.state_dict()}
        state |= {"optimiser": optimiser.state_dict(), "method": method.state_dict()}
        save_checkpoint(folder, done, state, rank)
        accelerator.wait_for_everyone()  # so that ranks are never more than one checkpoint apart

    odds = None if source is None else method.sampling_weights(source)
    sources = reader(source, first * parameters.accumulate, odds)
    targets = reader(target, first * parameters.accumulate)
    with StepProgress(what, first, total, accelerator.is_main_process) as progress:
        for step in range(first, total):
            lr = set_learning_rate(optimiser, parameters.optimiser, step, total)
            draw = knobs.figure_every > 0 and (step + 1) % knobs.figure_every == 0 and accelerator.is_main_process
            optimiser.zero_grad(set_to_none=True)
            for part in range(parameters.accumulate):
                torch.manual_seed(_step_seed(seed, step * parameters.accumulate + part, rank))
                clips = (next(sources) if sources else None, next(targets) if targets else None)
                with accelerator.autocast():
                    output = method.step(step, total, *clips, draw=draw and part + 1 == parameters.accumulate)
                    loss = torch.stack([term.float() for term in output.terms.values()]).sum()
                accelerator.backward(loss / parameters.accumulate)
                knobs.diagnosis.see(output.guess)
            if world > 1:
                _average_over_ranks(network, accelerator)
            if parameters.optimiser.clip_norm:
                torch.nn.utils.clip_grad_norm_(network.parameters(), parameters.optimiser.clip_norm)
            optimiser.step()
            method.after_step(step)
            last = step + 1 == total
            told = (step + 1) % knobs.log_every == 0 or last
            values = _numbers(output, loss, lr, what, step) | knobs.diagnosis.numbers() if told else {}
            progress.tell(step + 1, values)
            if accelerator.is_main_process:
                if values:
                    tracker.metrics({**values, "train/seconds_per_step": progress.seconds_per_step}, step + 1)
                for name, figure in output.figures.items():
                    tracker.figure(name, figure, step + 1)
            if (step + 1) % knobs.checkpoint_every == 0 or last:
                save(step + 1)
            knobs.snapshots.take(step + 1, total, method, lambda copied: once(copied.finish, 2))
    once(method.finish, 2)
    return first


def _numbers(output: StepOutput, loss: torch.Tensor, lr: float, what: str, step: int) -> dict[str, float]:
    """Every term and scalar as a float; refuses to go on with a loss that is not finite."""
    values = {f"loss/{name}": float(term.detach()) for name, term in output.terms.items()}
    values |= {f"train/{name}": float(value) for name, value in output.scalars.items()}
    values |= {"loss/total": float(loss.detach()), "train/lr": lr}
    if not torch.isfinite(loss.detach()):
        terms = ", ".join(f"{name} {value:.3g}" for name, value in values.items() if name.startswith("loss/"))
        raise UserError(f"{what}: the loss is not finite at step {step + 1} ({terms}): lower the learning rate")
    return values


def _step_seed(seed: int, step: int, rank: int) -> int:
    digest = hashlib.sha256(f"{seed} {step} {rank}".encode()).digest()
    return int.from_bytes(digest[:7], "big")


def _fingerprint(method: Method, parameters: TrainingParameters, seed: int, world: int, identity: str) -> str:
    """What a checkpoint must have been made by, to be resumed."""
    shapes = {name: list(value.shape) for name, value in method.network.state_dict().items()}
    settings: BaseModel | None = vars(method).get("parameters")
    known: list[Any] = [type(method).__name__, settings.model_dump() if settings else None, parameters.model_dump()]
    return hashlib.sha256(json.dumps([*known, seed, world, identity, shapes], sort_keys=True).encode()).hexdigest()


def _average_over_ranks(network: torch.nn.Module, accelerator: "Accelerator") -> None:
    """Average gradients and batch-norm statistics over the processes.

    Methods call parts of the network in their own order (encoders with edits, past frames without gradient), which
    DistributedDataParallel's hooks do not allow; one flat reduction after backward is simple and exact.
    """
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    statistics = [b for b in network.buffers() if b.is_floating_point()]
    for tensors in (gradients, statistics):
        if tensors:
            flat = accelerator.reduce(torch.cat([t.reshape(-1) for t in tensors]), reduction="mean")
            for tensor, part in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
                tensor.copy_(part.view_as(tensor))
