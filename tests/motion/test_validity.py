import torch

from crossfade.motion.validity import forward_backward_validity


def moving_square() -> tuple[torch.Tensor, torch.Tensor]:
    """A 6x6 square moves 8 px to the right over ground at rest: frame i → j, and back."""
    forward, backward = torch.zeros(1, 2, 20, 40), torch.zeros(1, 2, 20, 40)
    forward[:, 0, 5:11, 10:16] = 8
    backward[:, 0, 5:11, 18:24] = -8
    return forward, backward


def test_the_ghost_is_dropped_and_the_visible_stays() -> None:
    valid = forward_backward_validity(*moving_square())[0, 0]
    expected = torch.ones(20, 40, dtype=torch.bool)
    expected[5:11, 18:24] = False  # the ground that the square hides in frame j
    assert torch.equal(valid, expected)


def test_the_way_back() -> None:
    forward, backward = moving_square()
    valid = forward_backward_validity(backward, forward)[0, 0]
    expected = torch.ones(20, 40, dtype=torch.bool)
    expected[5:11, 10:16] = False  # the ground that the square has uncovered
    assert torch.equal(valid, expected)


def test_what_leaves_the_frame_is_dropped() -> None:
    flow = torch.zeros(1, 2, 4, 10)
    flow[:, 0] = 3
    valid = forward_backward_validity(flow, -flow)[0, 0]
    assert valid[:, :7].all()
    assert not valid[:, 7:].any()


def test_tolerance_is_the_published_one() -> None:
    """|f + b|² < 0.01 (|f|² + |b|²) + 0.5: at rest errors up to about √0.5 px pass, at 20 px up to about 2.9 px."""

    def passes(length: float, error: float) -> bool:
        forward, backward = torch.zeros(1, 2, 1, 101), torch.zeros(1, 2, 1, 101)
        forward[:, 0], backward[:, 0] = length, error - length
        return bool(forward_backward_validity(forward, backward)[0, 0, 0, 50])

    assert passes(0, 0.7)
    assert not passes(0, 0.72)
    assert passes(20, 2.7)
    assert not passes(20, 2.9)


def test_tolerances_can_be_chosen() -> None:
    forward, backward = torch.zeros(1, 2, 3, 3), torch.full((1, 2, 3, 3), 0.4)
    assert forward_backward_validity(forward, backward).all()
    assert not forward_backward_validity(forward, backward, relative=0.0, absolute=0.1).any()
