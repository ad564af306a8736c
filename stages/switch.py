"""Switch params.yaml to one pair or preset: ``python -m stages.switch street_camvid [data_set=folder …]``.

Takes the comment sign off a pair and its data sets, or lets the sections of a preset (crossfade/presets) stand in.
"""

import argparse
from pathlib import Path

from crossfade.data.footage import listing
from crossfade.errors import UserError, unknown_name
from crossfade.files import atomic_path
from crossfade.params import FILE, check_params
from crossfade.params_text import parse, with_values
from crossfade.presets import switched_to
from stages import run


def main() -> None:
    """Rewrite params.yaml, unless something would be wrong with it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pair")
    parser.add_argument("folders", nargs="*", metavar="data_set=folder", help="where data that you have lie")
    parser.add_argument("--videos", nargs="+", help="of the pair's target, a data set of footage")
    parser.add_argument("--recipe", help="refuse where there is no such recipe")
    parser.add_argument("--seed", type=int, help="refuse where there is no such seed")
    parser.add_argument("--discard", action="store_true", help="drop what was changed within a preset")
    options = parser.parse_args()
    if not FILE.is_file():
        raise UserError(f"{FILE} is missing: run from the project's folder")
    old = FILE.read_text()
    text = switched_to(old, options.pair, options.discard)
    raw = parse(text)
    sides = [raw["pairs"][options.pair][side] for side in ("source", "target")]
    for entry in options.folders:
        name, _, folder = entry.partition("=")
        if name not in sides:
            raise unknown_name(f"data set of the pair {options.pair} (given as data_set=folder)", name, sides)
        if not folder or not Path(folder).expanduser().is_dir():
            raise UserError(f"there is no folder '{folder}' for data set '{name}': give {name}=path/to/the/data")
        text = with_values(text, "data_sets", name, {"root": str(Path(folder).expanduser().resolve())})
    if options.videos:
        # The same from any folder, with what is there now: nothing is told now, not after the source has been rendered.
        paths = [str(Path(video).expanduser().absolute()) for video in options.videos]
        text = with_values(text, "data_sets", sides[1], {"videos": paths[0] if len(paths) == 1 else paths})
        text = with_values(text, "data_sets", sides[1], {"found": listing(check_params(text).data_sets[sides[1]])})
    if options.recipe and options.recipe not in raw["recipes"]:
        raise unknown_name("recipe (--recipe)", options.recipe, raw["recipes"])
    if options.seed not in (None, *raw["seeds"]):
        raise UserError(f"seed {options.seed} is not among the seeds {raw['seeds']} of params.yaml: add it there")
    check_params(text)
    if text != old:
        with atomic_path(FILE) as temporary:
            temporary.write_text(text)
    print(f"params.yaml runs the pair {options.pair}")


if __name__ == "__main__":
    run(main)
