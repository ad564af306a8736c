"""Switch params.yaml to one pair: ``python -m stages.switch street_camvid [data_set=folder …]``.

Takes the comment sign off the pair and its data sets, puts one before the other pairs, and links folders that hold data
to where params.yaml looks for them, or names the videos of a data set of footage. The same by hand is an edit of two or
three lines.
"""

import argparse
from pathlib import Path

import yaml

from crossfade.errors import UserError, unknown_name
from crossfade.files import atomic_path
from crossfade.params import FILE, read_params, switched, with_videos
from stages import run

RAW = Path("data/raw")


def main() -> None:
    """Link the folders, rewrite params.yaml, check it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pair")
    parser.add_argument("folders", nargs="*", metavar="data_set=folder")
    parser.add_argument("--videos", nargs="+", help="of the pair's target, a data set of footage")
    parser.add_argument("--recipe", help="refuse before any work where there is no such recipe")
    options = parser.parse_args()
    for entry in options.folders:
        name, _, folder = entry.partition("=")
        if not Path(folder).is_dir():
            raise UserError(f"there is no folder '{folder}' for data set '{name}': make camvid CAMVID=path/to/CamVid")
        RAW.mkdir(parents=True, exist_ok=True)
        link = RAW / name
        link.unlink(missing_ok=True)
        link.symlink_to(Path(folder).resolve(), target_is_directory=True)
    text = switched(FILE.read_text(), options.pair)
    if options.videos:
        target = yaml.safe_load(text)["pairs"][options.pair]["target"]
        text = with_videos(text, target, [_absolute(video) for video in options.videos])
    recipes = yaml.safe_load(text)["recipes"]
    if options.recipe and options.recipe not in recipes:
        raise unknown_name("recipe (--recipe)", options.recipe, recipes)
    with atomic_path(FILE) as temporary:
        temporary.write_text(text)
    read_params()
    print(f"params.yaml now runs the pair {options.pair}")


def _absolute(video: str) -> str:
    """The same from any folder. Whether anything is there is told now, not after the source has been rendered."""
    path = Path(video).expanduser().absolute()
    if not path.exists() and not list(Path(path.anchor).glob(str(path.relative_to(path.anchor)))):
        raise UserError(f"there is nothing at {video}: give videos, a pattern in quotes, or a folder of frames")
    return str(path)


if __name__ == "__main__":
    run(main)
