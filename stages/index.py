"""Check both sides of a pair and write down what they are → pairs/<pair>/{source,target}.json."""

from crossfade.experiment import Place
from crossfade.pair_index import index_pair
from stages import arguments, load, run


def main() -> None:
    """`python -m stages.index --pair NAME`."""
    options = arguments(__doc__ or "", "pair")
    params = load(options)
    for line in index_pair(Place(), options.pair, params.pairs[options.pair]):
        print(line)


if __name__ == "__main__":
    run(main)
