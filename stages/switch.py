"""Switch params.yaml to one pair: ``python -m stages.switch street_camvid [data_set=folder …]``.

Takes the comment sign off the pair and its data sets, puts one before the other pairs, and links folders that hold data
to where params.yaml looks for them. The same by hand is an edit of two or three lines.
"""

import argparse
from pathlib import Path

from crossfade.errors import UserError
from crossfade.params import FILE, read_params, switched
from stages import run

RAW = Path("data/raw")


def main() -> None:
    """Link the folders, rewrite params.yaml, check it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pair")
    parser.add_argument("folders", nargs="*", metavar="data_set=folder")
    options = parser.parse_args()
    for entry in options.folders:
        name, _, folder = entry.partition("=")
        if not Path(folder).is_dir():
            raise UserError(f"there is no folder '{folder}' for data set '{name}': make camvid CAMVID=path/to/CamVid")
        RAW.mkdir(parents=True, exist_ok=True)
        link = RAW / name
        link.unlink(missing_ok=True)
        link.symlink_to(Path(folder).resolve(), target_is_directory=True)
    FILE.write_text(switched(FILE.read_text(), options.pair))
    read_params()
    print(f"params.yaml now runs the pair {options.pair}")


if __name__ == "__main__":
    run(main)
