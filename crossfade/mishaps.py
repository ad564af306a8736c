"""What other libraries raise and a user can mend, in a sentence: entry points say it in place of a traceback."""

import re

from crossfade.errors import UserError
from crossfade.files import REFUSED

_NO_MEMORY = re.compile(r"out of memory|can't allocate memory|CUBLAS_STATUS_ALLOC_FAILED|insufficient memory", re.I)
_ASKED = re.compile(r"tried to allocate ([\d.]+ \w+)|Unable to allocate ([\d.]+ \w+)", re.I)
_KILLED = re.compile(r"DataLoader worker .*(exited unexpectedly|killed by signal)|shared memory")
_ONE_VALUE = re.compile(r"Expected more than 1 value per channel when training")
_OTHER_GPU = re.compile(r"no kernel image is available")


def sentence_for(error: Exception) -> str | None:
    """What to tell the user; None: nobody can mend it from outside, so that its traceback should be seen.

    Nothing is imported to know an error by: most of what fails has not loaded torch.
    """
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError):
        return _refusal(error)
    kind, text = type(error).__name__, str(error)
    if kind == "BrokenProcessPool" or (kind == "RuntimeError" and _KILLED.search(text)):
        return (
            "a process that works beside this one was killed, most often because memory ran out: lower "
            "CROSSFADE_WORKERS (0: none), or give the job more memory (in a container /dev/shm, too: --shm-size)"
        )
    if isinstance(error, MemoryError) or kind == "OutOfMemoryError" or _NO_MEMORY.search(text):
        asked = _ASKED.search(text)
        amount = f" ({asked[1] or asked[2]} were asked for)" if asked else ""
        return (
            f"memory ran out{amount}: lower the training's `batch` and raise `accumulate` by as much, set `precision: "
            "bf16`, make the pair's `size` smaller, or see who else uses the machine (nvidia-smi)"
        )
    if isinstance(error, ValueError) and _ONE_VALUE.search(text):
        return "batch norm learns nothing from a single value: raise the training's `batch`, or the pair's `size`"
    if isinstance(error, RuntimeError) and _OTHER_GPU.search(text):
        return "this torch was not built for this GPU: install a build that is (https://pytorch.org), or use the cpu"
    return None


def _refusal(error: OSError) -> str | None:
    """What the operating system will not open; None where trying again may help, or nobody knows what it was."""
    if error.filename is None or error.errno not in REFUSED:
        return None
    return f"{error.filename}: {error.strerror}; see that it is there and that you may use it"
