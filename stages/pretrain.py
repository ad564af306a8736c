"""Train a network on the labelled source of a pair → pretrained/<pair>/seed-<n>/<network>/."""

from crossfade.experiment import Place, pretrain
from stages import arguments, knobs, load, run


def main() -> None:
    """`python -m stages.pretrain --pair NAME --network NAME --seed N`."""
    options = arguments(__doc__ or "", "pair", "network", "seed")
    params = load(options)
    folder = pretrain(Place(), params, options.pair, options.network, options.seed, knobs(options))
    print(f"wrote {folder}")


if __name__ == "__main__":
    run(main)
