"""Score a model on the target's evaluation split → metrics/<pair>/<recipe>/seed-<n>.json, evaluations/…/."""

from crossfade.experiment import Place
from crossfade.scoring import score
from stages import arguments, load, run


def main() -> None:
    """`python -m stages.evaluate --pair NAME --recipe NAME --seed N`."""
    options = arguments(__doc__ or "", "pair", "recipe", "seed")
    params = load(options)
    print(score(Place(), params, options.pair, options.recipe, options.seed, options.device))


if __name__ == "__main__":
    run(main)
