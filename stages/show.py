"""Print the comparison of every pair that has a report, and where everything is: ``python -m stages.show``."""

from pathlib import Path

from crossfade.experiment import Place
from crossfade.params import read_params
from crossfade.presets import read_published
from crossfade.report import print_table, read_results
from stages import run


def main() -> None:
    """Tables first, then the files to open."""
    place, params = Place(), read_params()
    for name, pair in params.pairs.items():
        title = f"{pair.source} → {pair.target}"
        metrics = place.root / "metrics" / name
        known = read_published(pair.published)
        print_table(read_results(name, metrics, params.recipe_names, pair.notes, title, params.seeds, known))
        report = Path("reports") / name
        print(f"page      {report}/index.html   (works offline)")
        folders = [f"{report}/{name}/" for name in ("figures", "strips") if (report / name).is_dir()]
        print(f"figures   {', '.join(folders)}")
        for video in sorted((report / "videos").glob("*.mp4")):
            print(f"video     {video}")
    print("MLflow    make ui   →  http://127.0.0.1:5000")


if __name__ == "__main__":
    run(main)
