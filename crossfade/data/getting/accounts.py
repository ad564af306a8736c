"""What to do by hand where a data set is only given to people with an account: one screen each.

Nothing logs in here. Cityscapes has a script of its own for it; the others have pages to click through. Passwords never
stand in params.yaml.
"""

from pathlib import Path

from crossfade.errors import UserError

SCREENS: dict[str, str] = {
    "cityscapes": """\
  1. Ask for an account at https://www.cityscapes-dataset.com/register/ (an academic or company address), log in, and
     ask for the sequences too: they are granted one by one, by e-mail.
  2. At https://www.cityscapes-dataset.com/downloads/ take
       gtFine_trainvaltest.zip                  0.24 GB
       leftImg8bit_sequence_trainvaltest.zip    324 GB
     or by script: pip install cityscapesscripts; csDownload gtFine_trainvaltest.zip … (asks for name and password).
  3. Do not unpack them. In params.yaml:
       data_sets.{name}.archives: [path/to/gtFine_trainvaltest.zip, path/to/leftImg8bit_sequence_trainvaltest.zip]
     Only the frames around labelled ones are brought out: 22.5 GB with before: 2.""",
    "viper": """\
  1. Register at https://playing-for-benchmarks.org/download/ and agree to the terms; a link comes by e-mail.
  2. Take the training images as jpg (frames *0, and *[1-9] for their neighbours) and the semantic class labels (*0; and
     *[1-9] if neighbours shall have labels); the page tells the size of each part.
  3. Do not unpack them. In params.yaml:
       data_sets.{name}.archives: [path/to/….zip, …]
     Every `step`-th frame and `before` frames ahead of it are brought out.""",
    "synthia": """\
  1. Go to https://synthia-dataset.net/downloads/ and agree to the terms.
  2. Take SYNTHIA-SEQS-04-DAWN.rar of the video sequences (850 frames from 8 cameras).
  3. rar cannot be read in part. Unpack it (unar SYNTHIA-SEQS-04-DAWN.rar) so that there is
       {root}/SEQS-04-DAWN/RGB/Stereo_Left/Omni_F/000000.png
     or repack it as zip or tar and name that in data_sets.{name}.archives.""",
    "vspw": """\
  1. Go to https://github.com/VIPSeg-Dataset/VSPW-Dataset-API and follow its link to the download; agree to the terms.
  2. Take VSPW_480p (3,536 videos, 251,633 frames, each with a label).
  3. Unpack it to {root}, or name it in data_sets.{name}.archives if it is a zip or tar.""",
    "bdd": """\
  1. Register at https://bdd-data.berkeley.edu/ (or http://bdd-data.berkeley.edu/portal.html) and agree to the terms.
  2. Take "10K Images" and "Semantic Segmentation" (1.3 GB together), and the videos the frames come from.
  3. Unpack them to {root}, or name them in data_sets.{name}.archives if they are zip or tar.""",
}
"""By kind of data set; {name} is its name in params.yaml, {root} its folder."""


def explain_if_missing(name: str, kind: str, root: Path | None) -> None:
    """Say how to get a data set of which nothing is there.

    Raises:
        UserError: its folder is missing or empty, and it needs an account.
    """
    if root is None or kind not in SCREENS:
        return
    folder = root.expanduser().resolve()
    if folder.is_dir() and any(folder.iterdir()):
        return
    raise UserError(
        f"data set '{name}': there is nothing in {folder}, and {kind} needs an account to download:\n"
        f"{SCREENS[kind].format(name=name, root=folder)}\n"
        f"  If you have it elsewhere: set data_sets.{name}.root in params.yaml."
    )
