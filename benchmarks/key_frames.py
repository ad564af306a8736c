"""Key frames: DAVSS against its heavy network on every frame; of a trained model, what they cost.

As a command: ``python -m benchmarks.key_frames --model DIR [--pair street] [--json FILE]`` prints mIoU, temporal
consistency and speed of a trained model with DAVSS on the pair's evaluation split, by the interval of its key frames,
and how mIoU falls with the distance from a key frame at the model's own interval.
"""

import argparse
import dataclasses
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.measure import Cost, cost
from benchmarks.networks import SIZE
from crossfade.device import choose_device
from crossfade.errors import UserError
from crossfade.experiment import TARGET, Place, open_domain
from crossfade.files import write_json
from crossfade.key_frames import INTERVALS, curve, key_frames_of
from crossfade.metrics.propagation import DISTANCES
from crossfade.model_folder import load_model
from crossfade.networks import NetworkParameters
from crossfade.params import read_params
from crossfade.propagation import propagation_curve
from crossfade.temporal import ModelParameters, build_video_network

WIDTH = 0.25
"""Of the networks beside lite0, which is itself a small one."""


def rows() -> list[dict[str, Any]]:
    """Milliseconds a frame over whole intervals, weights as they are born: they do not change the time."""
    found: list[dict[str, Any]] = []
    heavy: Cost | None = None
    for interval in INTERVALS:
        spent = cost(_interval, interval)
        what = f"lite0 + DAVSS (width {WIDTH:g}), key frame every {interval}, 256x192"
        row = {"what": what, "value": 1000 * spent.seconds / interval, "unit": "ms/frame", "peak": spent.peak}
        if heavy is not None:
            ratio = heavy.seconds * interval / spent.seconds
            row |= {"against": "lite0 on every frame", "ratio": ratio, "peak_ratio": heavy.peak / spent.peak}
        heavy = heavy or spent
        found.append(row)
    return found


def _interval(interval: int) -> Callable[[], object]:
    """A video of one key frame and those up to the next."""
    frame = NetworkParameters(kind="deeplab", pretrained=False)
    temporal = {"kind": "davss", "width": WIDTH, "interval": interval}
    network = build_video_network(ModelParameters.model_validate({"network": frame, "temporal": temporal}), 11).eval()
    frames = torch.rand(interval, 1, 3, *SIZE)

    @torch.inference_mode()
    def work() -> None:
        stream = network.stream()
        for frame in frames:
            stream.step(frame, None)

    return work


def main() -> int:
    """Print the curves of a trained model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, metavar="DIR", help="such as models/street/davss/seed-0")
    parser.add_argument("--pair", default="street", help="whose evaluation split (default: street)")
    parser.add_argument("--intervals", type=int, nargs="+", default=INTERVALS, metavar="N", help="default: 1 2 5 10")
    parser.add_argument("--json", type=Path, help="also write both curves to this file")
    arguments = parser.parse_args()
    try:
        if min(arguments.intervals) < 1:
            raise UserError("--intervals are at least 1: every N-th frame is a key frame")
        pairs = read_params().pairs
        if arguments.pair not in pairs:
            raise UserError(f"params.yaml has no pair '{arguments.pair}': give one of {', '.join(pairs)}")
        pair = pairs[arguments.pair]
        domain = open_domain(Place(), arguments.pair, pair, TARGET, (pair.evaluate_on,))
        model = load_model(arguments.model, domain.label_space)
        device = choose_device(None)
        points = curve(model.network, domain, arguments.intervals, device)
        interval = key_frames_of(model.network).interval
        distances = [distance for distance in DISTANCES if distance < interval]
        carried = propagation_curve(model.network, domain, distances, device).compute()
    except UserError as error:
        print(f"key_frames: {error}", file=sys.stderr)
        return 2
    print("| key frame every | mIoU | temporal consistency | frames/s |\n|---:|---:|---:|---:|")
    for point in points:
        shares = (f"{100 * share:.1f} %" if share is not None else "" for share in (point.miou, point.consistency))
        print(f"| {point.interval} | {' | '.join(shares)} | {point.rate:.1f} |")
    print("\n| frames since the key frame | mIoU |\n|---:|---:|")
    for distance, miou in carried.items():
        print(f"| {distance} | {100 * miou:.1f} % |")
    if arguments.json:
        found = {distance: None if math.isnan(miou) else miou for distance, miou in carried.items()}
        write_json(arguments.json, {"intervals": [dataclasses.asdict(point) for point in points], "distances": found})
    return 0


if __name__ == "__main__":
    sys.exit(main())
