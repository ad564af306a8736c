"""The `crossfade` command."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from crossfade.errors import UserError, unknown_name
from crossfade.mishaps import sentence_for


def parser() -> argparse.ArgumentParser:
    """The command line as argparse sees it."""
    top = argparse.ArgumentParser(prog="crossfade", description="Video segmentation, adapted without labels.")
    commands = top.add_subparsers(dest="command", required=True)
    predict = commands.add_parser("predict", help="stream a video through a trained model; write an overlay video")
    predict.add_argument("video", type=Path, metavar="VIDEO_OR_FOLDER", help="an mp4, or a folder of frames")
    predict.add_argument("--model", type=Path, required=True, metavar="DIR", help="a models/<pair>/<recipe>/seed-<n>")
    predict.add_argument("--out", type=Path, required=True, metavar="OUT.mp4", help="the overlay video to write")
    predict.add_argument("--labels", type=Path, metavar="DIR", help="also write one PNG of class ids a frame here")
    predict.add_argument(
        "--motion",
        choices=("dis", "farneback", "none"),
        help="motion estimator for networks with memory (default: dis where the network uses motion, else none)",
    )
    predict.add_argument("--device", help="cpu, cuda, cuda:1 … (default: a GPU if there is one)")
    predict.add_argument(
        "--rate", type=float, help="frames per second of the result (default: the video's; folder: 12)"
    )
    predict.add_argument("--browser", action="store_true", help="write VP9, which web browsers play; slower")
    predict.add_argument("--quiet", action="store_true", help="no progress bar")
    evaluate = commands.add_parser("evaluate", help="score a model, trained or imported, on a pair's evaluation split")
    evaluate.add_argument(
        "model", type=Path, metavar="DIR", help="a models/<pair>/<recipe>/seed-<n>, or an imported one"
    )
    evaluate.add_argument("--pair", required=True, help="of params.yaml; its index stage has run")
    evaluate.add_argument("--out", type=Path, metavar="DIR", help="also write tables, strips and a video here")
    evaluate.add_argument("--json", type=Path, metavar="FILE", help="also write all numbers to this file")
    evaluate.add_argument("--device", help="cpu, cuda, cuda:1 … (default: a GPU if there is one)")
    doctor = commands.add_parser("doctor", help="look for everything that is wrong with a pair's data and recipes")
    doctor.add_argument("pair", nargs="?", help="of params.yaml (default: every pair that is switched on)")
    doctor.add_argument("--all", action="store_true", help="decode every frame, not 200 of each side")
    doctor.add_argument("--sheet", type=Path, metavar="OUT.png", help="the pictures (default: doctor-PAIR.png)")
    shards = commands.add_parser("shards", help="copy a pair's frames to a fast disk, at the network's size, lossless")
    shards.add_argument("pair", help="of params.yaml; its index stage has run")
    shards.add_argument("folder", type=Path, help="then set CROSSFADE_SHARDS to it")
    shards.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="threads")
    labels = commands.add_parser("labels", help="show a label space: its classes, and the ids that map into it")
    labels.add_argument("name", nargs="?", help="of the label space; none lists all there are")
    weights = commands.add_parser("import-weights", help="make a model of a checkpoint that others published")
    weights.add_argument("system", metavar="SYSTEM", help="whose checkpoint: tmanet, dtern, tps, stcl …")
    weights.add_argument("file", type=Path, metavar="FILE", help="as downloaded (.pth)")
    weights.add_argument("--out", type=Path, required=True, metavar="DIR", help="the model folder to write")
    weights.add_argument("--label-space", metavar="NAME", help="what its classes mean (default: as published)")
    weights.add_argument(
        "--size", type=int, nargs=2, metavar=("H", "W"), help="frames are brought to this size (default: as published)"
    )
    graph = commands.add_parser("export", help="write a model as a graph that runs without crossfade")
    graph.add_argument("model", type=Path, metavar="DIR", help="a models/<pair>/<recipe>/seed-<n>")
    graph.add_argument("--format", default="torch-export", help="torch-export (default) or onnx")
    graph.add_argument("--out", type=Path, required=True, metavar="FILE", help="ends in .pt2 or .onnx")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status (2 when the user can mend it, 1 when the doctor found errors)."""
    options = parser().parse_args(arguments)
    try:
        commands = {
            "predict": predict,
            "evaluate": evaluate,
            "shards": shards,
            "labels": labels,
            "doctor": doctor,
            "import-weights": import_published,
            "export": export_graph,
        }
        return commands[options.command](options)
    except Exception as error:
        said = sentence_for(error)
        if said is None:
            raise
        print(f"crossfade: {said}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("crossfade: stopped; nothing was written", file=sys.stderr)
        return 130


def predict(options: argparse.Namespace) -> int:
    """`crossfade predict`: checks everything it can before the first frame, then streams."""
    from crossfade.predict import Request, predict_video

    request = Request(
        video=options.video,
        model=options.model,
        out=options.out,
        labels=options.labels,
        motion=options.motion,
        device=options.device,
        rate=options.rate,
        browser=options.browser,
    )
    summary = predict_video(request, progress=not options.quiet)
    print(
        f"{summary.frames} frames in {summary.seconds:.1f} s: {summary.frames / summary.seconds:.1f} frames/s with "
        f"decoding and writing, {summary.frames / summary.network_seconds:.1f} the network alone, on {summary.device}"
    )
    for note in summary.notes:
        print(f"note: {note}", file=sys.stderr)
    print(f"overlay: {options.out}" + (f"; labels: {options.labels}" if options.labels else ""))
    return 0


def evaluate(options: argparse.Namespace) -> int:
    """`crossfade evaluate`: prints the headlines and the IoU of each class."""
    from crossfade.data.labels import load_label_space
    from crossfade.experiment import Place
    from crossfade.files import write_json
    from crossfade.params import read_params
    from crossfade.scoring import score_folder

    if options.out is not None and options.out.exists() and (not options.out.is_dir() or any(options.out.iterdir())):
        raise UserError(f"{options.out} exists and is not an empty folder: choose a new one for --out")
    if options.json is not None and options.json.is_dir():
        raise UserError(f"{options.json} is a folder: give --json a file")
    params = read_params()
    result = score_folder(Place(), params, options.pair, options.model, options.device)
    numbers, unscored = result.metrics, load_label_space(params.pairs[options.pair].label_space).unscored
    speed, checkpoint = numbers["frames_per_second"], numbers["checkpoint"]
    told = f" ({checkpoint['which']}, {checkpoint['rule']})" if checkpoint else ""
    shares = {
        "mIoU": numbers["miou"],
        "pixel accuracy": numbers["pixel_accuracy"],
        "temporal consistency": numbers["temporal_consistency"]["value"],
        "VC8": numbers["video_consistency"]["vc8"],
    }
    print(f"{options.model} on {options.pair}: {numbers['frames']} labelled frames{told}")
    for name, share in numbers["iou"].items():
        shares[f"IoU {name}" + (" (not scored)" if name in unscored else "")] = share
    for name, share in shares.items():
        print(f"{name:<24}" + ("     –" if share is None else f"{100 * share:6.1f} %"))
    print(f"{'frames/s':<24}{speed['network']:6.1f}   ({speed['with_decoding']:.1f} with decoding, {speed['device']})")
    if options.json is not None:
        write_json(options.json, numbers)
        print(f"numbers: {options.json}")
    if options.out is not None:
        result.save(options.out)
        print(f"tables, strips, video: {options.out}")
    return 0


def doctor(options: argparse.Namespace) -> int:
    """`crossfade doctor`: prints what is wrong and how to mend it, writes a sheet of pictures."""
    from crossfade.doctor import examine, write_sheet
    from crossfade.experiment import Place
    from crossfade.params import read_params

    params = read_params()
    errors = 0
    pairs = [options.pair] if options.pair else list(params.pairs)
    if options.sheet is not None:
        if options.sheet.suffix.lower() != ".png":
            raise UserError(f"the sheet must end in .png, not '{options.sheet.suffix}' ({options.sheet})")
        if not options.sheet.resolve().parent.is_dir():
            raise UserError(f"there is no folder {options.sheet.resolve().parent} for the sheet: make it first")
        if len(pairs) > 1:
            raise UserError(f"{len(pairs)} pairs are on: name one of them, or leave --sheet away")
    for pair in pairs:
        report = examine(Place(), params, pair, None if options.all else 200)
        print("\n".join(report.lines()))
        sheet = options.sheet or Path(f"doctor-{pair}.png")
        if write_sheet(report, sheet):
            print(f"look at   {sheet}   (frame, source labels, motion, neighbour warped onto it, difference)")
        verdict = f"{report.errors} errors" if report.errors else "nothing is wrong"
        print(f"{pair}: {verdict}, {len(report.findings) - report.errors} warnings")
        errors += report.errors
    return 1 if errors else 0


def shards(options: argparse.Namespace) -> int:
    """`crossfade shards`: one archive a video, both sides of a pair."""
    from crossfade.data.shards import shards_folder, write_shards
    from crossfade.experiment import SOURCE, TARGET, Place, open_domain
    from crossfade.files import read_json
    from crossfade.params import read_params

    params, place = read_params(), Place()
    if options.pair not in params.pairs:
        raise unknown_name("pair", options.pair, params.pairs)
    pair = params.pairs[options.pair]
    os.environ.pop("CROSSFADE_SHARDS", None)
    for side in (SOURCE, TARGET):
        if not place.side(options.pair, side).is_file():
            raise UserError(f"{place.side(options.pair, side)} is missing: dvc repro index@{options.pair} first")
        index = read_json(place.side(options.pair, side))
        domain = open_domain(place, options.pair, pair, side, tuple(index["splits"]))
        folder = shards_folder(options.folder, index["data_hash"], pair.size)
        written = sum(new for _, new in write_shards(domain, folder, options.workers))
        print(f"{index['data_set']}: {len(domain.videos)} videos in {folder}, {written} of them new")
    print(f"use them: export CROSSFADE_SHARDS={options.folder}")
    return 0


def labels(options: argparse.Namespace) -> int:
    """`crossfade labels`: one line a class, with its colour and the ids of every data set that mean it."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from crossfade.data.labels import label_space_names, load_label_space

    console = Console()
    if options.name is None:
        console.print("\n".join(label_space_names()), highlight=False)
        return 0
    space = load_label_space(options.name)
    table = Table(title=space.name, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("id", "class", "", *space.tables):
        table.add_column(heading, no_wrap=heading == "class", min_width=len(heading))
    for k, (name, colour) in enumerate(zip(space.classes, space.colours.tolist(), strict=True)):
        ids = [", ".join(str(i) for i, to in ids.items() if to == k) or "–" for ids in space.tables.values()]
        swatch = f"[on rgb({colour[0]},{colour[1]},{colour[2]})]    [/]"
        table.add_row(str(k), name + (" (not scored)" if name in space.unscored else ""), swatch, *ids)
    least = console.measure(table, options=console.options.update_width(1000)).minimum
    console.width = max(console.width, least + len(table.columns))  # a narrow terminal wraps it; nothing is cut off
    console.print(table)
    console.print("every other id of these data sets, and 255, is ignored", highlight=False)
    return 0


def import_published(options: argparse.Namespace) -> int:
    """`crossfade import-weights`: a published checkpoint becomes a model folder like any other."""
    from crossfade.importing import IMPORTERS
    from crossfade.importing.convert import import_weights

    if options.size is not None and min(options.size) < 32:
        raise UserError(f"--size {options.size[0]} {options.size[1]} is too small: height and width are at least 32")
    size = None if options.size is None else (options.size[0], options.size[1])
    imported = import_weights(options.system, options.file, options.out, options.label_space, size)
    count = sum(parameter.numel() for parameter in imported.network.parameters())
    print(f"{options.out}: {IMPORTERS[options.system].title}, {imported.classes} classes, {count:,} parameters")
    if imported.dropped:
        names = ", ".join(imported.dropped)
        print(f"left out, because the published code never uses them: {names}")
    return 0


def export_graph(options: argparse.Namespace) -> int:
    """`crossfade export`: one graph, or two and a plan where the network has memory."""
    from crossfade.export import export

    exported = export(options.model, options.format, options.out)
    print(f"wrote {', '.join(map(str, exported.files))}")
    if exported.difference is None:
        print("the graphs have the right form; install onnxruntime to have their numbers compared too")
    else:
        print(f"over {exported.frames} frames they differ from the network by {exported.difference:.1e} of its logits")
    return 0


if __name__ == "__main__":
    sys.exit(main())
