"""Adapt a pretrained network to the target of a pair with a recipe → models/<pair>/<recipe>/seed-<n>/."""

from crossfade.experiment import Place, adapt
from stages import arguments, knobs, load, run


def main() -> None:
    """`python -m stages.adapt --pair NAME --recipe NAME --seed N`."""
    options = arguments(__doc__ or "", "pair", "recipe", "seed")
    params = load(options)
    folder = adapt(Place(), params, options.pair, options.recipe, options.seed, knobs(options))
    print(f"wrote {folder}")


if __name__ == "__main__":
    run(main)
