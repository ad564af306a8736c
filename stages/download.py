"""Render, fetch or index one data set → data/<data set>/."""

from crossfade.data import prepare_data_set
from crossfade.experiment import Place
from stages import arguments, load, run


def main() -> None:
    """`python -m stages.download --data-set NAME`."""
    options = arguments(__doc__ or "", "data_set")
    params = load(options)
    folder = Place().data(options.data_set)
    manifest = prepare_data_set(params.data_sets[options.data_set], folder, options.workers)
    frames = sum(len(video.frames) for video in manifest.videos)
    print(f"{options.data_set}: {len(manifest.videos)} videos, {frames} frames")


if __name__ == "__main__":
    run(main)
