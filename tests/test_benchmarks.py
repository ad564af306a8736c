"""What benchmarks measure with, and that the two forms of an STCL step they compare run."""

from collections.abc import Callable

import numpy as np
import pytest

from benchmarks import training
from benchmarks.measure import cost

MIB = 2**20


def allocating(mebibytes: int) -> Callable[[], object]:
    """Hold a quarter of it before, touch all of it in every call."""
    held = np.ones(mebibytes * MIB // 4, np.uint8)
    return lambda: (held, np.ones(mebibytes * MIB, np.uint8))


def failing() -> Callable[[], object]:
    """What cannot be prepared."""
    raise ValueError("no")


def test_the_peak_is_that_of_the_calls_alone():
    measured = cost(allocating, 64)
    assert 60 < measured.peak < 75
    assert 0 < measured.seconds < 5


def test_what_fails_in_the_process_ends_the_benchmark():
    with pytest.raises(SystemExit, match=r"failing\(\) failed, see above"):
        cost(failing)


def test_an_stcl_step_in_both_forms(monkeypatch):
    monkeypatch.setattr(training, "SIZE", (64, 96))
    training._step("stcl", "fusion")()
    training._published_stcl()()  # checks itself that the unused maps are there
