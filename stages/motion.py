"""Estimate the motion of one data set → motion/<data set>/."""

from crossfade.data.manifest import Manifest
from crossfade.device import choose_device
from crossfade.experiment import Place
from crossfade.motion.estimate import estimate_data_set
from stages import arguments, load, run


def main() -> None:
    """`python -m stages.motion --data-set NAME`."""
    options = arguments(__doc__ or "", "data_set")
    params = load(options)
    manifest = Manifest.load(Place().data(options.data_set))
    folder = Place().motion(options.data_set)
    device = str(choose_device(options.device))
    estimate_data_set(manifest, params.motion[options.data_set], folder, options.workers, device)
    print(f"{options.data_set}: motion by {params.motion[options.data_set].estimator} in {folder}")


if __name__ == "__main__":
    run(main)
