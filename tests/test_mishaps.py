"""What libraries raise is told in a sentence where a user can mend it, and left alone where nobody can."""

import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from crossfade.cli import main
from crossfade.mishaps import sentence_for
from stages import run

HUGE = 10**15


class Killed(Dataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        os.kill(os.getpid(), signal.SIGKILL)


def on_a_gpu():
    said = "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 139.81 GiB of which 1.10 GiB"
    raise torch.OutOfMemoryError(said)


def for_another_gpu():
    raise RuntimeError("CUDA error: no kernel image is available for execution on the device")


MENDED = {
    "gpu memory": (on_a_gpu, r"memory ran out \(2\.50 GiB were asked for\): lower the training's `batch`"),
    "torch": (lambda: torch.empty(HUGE), r"memory ran out \(4000000000000000 bytes were asked for\)"),
    "numpy": (lambda: np.zeros(HUGE), r"memory ran out \(7\.11 PiB were asked for\)"),
    "opencv": (lambda: cv2.resize(np.zeros((9, 9), np.uint8), (2**24, 2**24)), "memory ran out"),
    "reader": (lambda: next(iter(DataLoader(Killed(), num_workers=1))), "lower CROSSFADE_WORKERS"),
    "pool": (lambda: ProcessPoolExecutor(1).submit(os._exit, 1).result(), "lower CROSSFADE_WORKERS"),
    "one value": (lambda: torch.nn.BatchNorm2d(4)(torch.zeros(1, 4, 1, 1)), "raise the training's `batch`"),
    "build": (for_another_gpu, "this torch was not built for this GPU"),
    "no file": (Path("nowhere/at/all").read_bytes, r"nowhere/at/all: No such file or directory; see that it is there"),
}


@pytest.mark.parametrize(("wrong", "said"), MENDED.values(), ids=MENDED)
def test_every_stage_and_command_ends_in_a_sentence(wrong, said, monkeypatch, capsys):
    with pytest.raises(SystemExit) as left:
        run(wrong)
    assert left.value.code == 2
    monkeypatch.setattr("crossfade.cli.labels", lambda options: wrong())
    assert main(["labels", "camvid11"]) == 2
    of_stage, of_command = capsys.readouterr().err.splitlines()
    assert of_stage.startswith("error: ")
    assert re.search(said, of_stage)
    assert of_command == of_stage.replace("error: ", "crossfade: ", 1)


def test_what_nobody_can_mend_keeps_its_traceback():
    for error in (RuntimeError("shapes do not match"), ValueError("no"), ZeroDivisionError(), OSError(5, "I/O", "a")):
        assert sentence_for(error) is None

        def fail(error=error):
            raise error

        with pytest.raises(type(error)):
            run(fail)


def test_torch_is_not_loaded_to_know_an_error_by():
    code = "import sys, crossfade.mishaps; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
