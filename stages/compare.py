"""Put all recipes of a pair side by side → reports/<pair>/."""

from crossfade.data.labels import load_label_space
from crossfade.experiment import Place
from crossfade.presets import read_published
from crossfade.report import compare, print_table
from stages import arguments, load, run


def main() -> None:
    """`python -m stages.compare --pair NAME`."""
    options = arguments(__doc__ or "", "pair")
    params = load(options)
    place, pair = Place(), params.pairs[options.pair]
    folder = place.root / "reports" / options.pair
    comparison = compare(
        options.pair,
        place.root / "metrics" / options.pair,
        place.root / "evaluations" / options.pair,
        folder,
        load_label_space(pair.label_space),
        recipes=params.recipe_names,
        notes=pair.notes,
        title=f"{pair.source} → {pair.target}",
        seeds=params.seeds,
        published=read_published(pair.published),
    )
    print_table(comparison)
    print(f"report: {folder}/index.html")


if __name__ == "__main__":
    run(main)
