"""Batch-norm statistics: estimated anew on given frames, followed while training, or held fixed."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from crossfade.errors import UserError

Item = TypeVar("Item")


def batch_norms(module: nn.Module) -> list[_BatchNorm]:
    """The batch-norm layers of a module that keep running statistics."""
    return [m for m in module.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]


def reestimate_statistics(network: nn.Module, forward: Callable[[Item], object], batches: Iterable[Item]) -> int:
    """Replace the running statistics by the cumulative average over the given batches (AdaBN, Li et al. 2016).

    Every layer sees inputs normalised by the statistics of their own batch (train mode); dropout is off. Weights are
    not touched; the modes are as before afterwards.

    Args:
        network: whose layers.
        forward: runs the network on a batch.
        batches: what it is run on.

    Returns:
        The number of batches seen.

    Raises:
        UserError: the network has no batch-norm layers.
    """
    layers = batch_norms(network)
    if not layers:
        raise UserError("the network has no batch-norm layers, so it has no statistics to adapt: choose another recipe")
    modes = {module: module.training for module in network.modules()}
    momenta = [layer.momentum for layer in layers]
    network.eval()
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # cumulative average
        layer.train()
    seen = 0
    with torch.no_grad():
        for batch in batches:
            forward(batch)
            seen += 1
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    for module, mode in modes.items():
        module.training = mode
    if seen == 0:
        raise ValueError("no frames to estimate batch-norm statistics from")
    return seen


Statistics = list[tuple[Tensor, Tensor]]
"""Mean and variance of every batch-norm layer of a network, in order."""


def statistics_of(module: nn.Module) -> Statistics:
    """A copy of the running statistics."""
    return [(mean.clone(), variance.clone()) for mean, variance in map(_running, batch_norms(module))]


@torch.no_grad()
def blend_statistics(module: nn.Module, other: Statistics, share: float) -> None:
    """Move the running statistics to (1 − share) · own + share · other, means and variances alike.

    With few or uniform target frames the target's own statistics are poorly known, and those of the source are a prior
    for them (Schneider et al., NeurIPS 2020, equation 3, share = N / (N + n)).
    """
    for layer, (mean, variance) in zip(batch_norms(module), other, strict=True):
        own_mean, own_variance = _running(layer)
        own_mean.lerp_(mean, share)
        own_variance.lerp_(variance, share)


def _running(layer: _BatchNorm) -> tuple[Tensor, Tensor]:
    assert layer.running_mean is not None
    assert layer.running_var is not None
    return layer.running_mean, layer.running_var


@contextmanager
def following_statistics(
    module: nn.Module, momentum: float, anchor: Statistics | None = None, share: float = 0.0
) -> Iterator[None]:
    """While open, every batch-norm layer in eval mode moves its running statistics towards its inputs' own.

    The layers keep normalising with the running statistics, so a prediction does not depend on its batch mates, but
    the statistics fit the frames seen: a teacher that only ever sees target frames keeps those of the target.

    Args:
        module: the network.
        momentum: how fast.
        anchor: statistics that are moved towards too, with a `share` of the momentum; what they come to rest at is
            (1 − share) · inputs' + share · anchor.
        share: in [0, 1).

    Raises:
        UserError: a layer sees one value a channel.
    """
    layers = batch_norms(module)
    held = dict(zip(layers, anchor, strict=True)) if anchor is not None and share > 0 else {}
    back = momentum * share / (1 + momentum * share)  # as much as makes the two movements rest at the shares

    def follow(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(layer, _BatchNorm)
        mean, variance = _running(layer)
        if inputs[0].numel() == inputs[0].shape[1]:
            raise UserError(
                "this network pools each frame to a single value, of which one clip a step has no statistics: raise "
                "`batch` in params.yaml to 2 or more"
            )
        # for its side effect on the statistics: several times faster than torch.var_mean on a CPU
        with torch.no_grad():
            F.batch_norm(inputs[0], mean, variance, training=True, momentum=momentum * (1 - share))

    @torch.no_grad()
    def hold(layer: nn.Module, _inputs: object, _output: object) -> None:
        assert isinstance(layer, _BatchNorm)
        for own, source in zip(_running(layer), held[layer], strict=True):
            own.lerp_(source, back)

    following = [layer for layer in layers if not layer.training]
    handles = [layer.register_forward_pre_hook(follow) for layer in following]
    # after each pass through a layer, not once at the end: some networks use a layer twice (HRDA)
    handles += [layer.register_forward_hook(hold) for layer in following if layer in held]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def copy_statistics(to: nn.Module, source: nn.Module) -> None:
    """Copy the running statistics of one network into another of the same structure."""
    for mine, theirs in zip(batch_norms(to), batch_norms(source), strict=True):
        for name in ("running_mean", "running_var"):
            getattr(mine, name).copy_(getattr(theirs, name))


def train_mode(network: nn.Module, statistics: str) -> None:
    """Put a network in train mode; `statistics` "fixed" leaves batch norm at its running statistics ("batch": not)."""
    network.train()
    if statistics == "fixed":
        for layer in batch_norms(network):
            layer.eval()


def train_only(network: nn.Module, parts: Iterable[nn.Module]) -> None:
    """Put parts of a network in train mode and the rest in eval mode: what does not learn keeps its statistics, too."""
    network.eval()
    for part in parts:
        part.train()
