import torch

from crossfade.motion.field import Motion
from crossfade.objectives.mixing import Layer, box_mask, class_mask, compose, pick_classes, present_classes

SIZE = (6, 8)


def layer(value, mask, u=0.0, valid=True, still=False):
    """One clip of two frames of one colour and label, with constant motion."""
    flow = torch.zeros(1, 2, *SIZE)
    flow[:, 0] = u
    motion = None if still else {(1, 0): Motion(flow, torch.full((1, 1, *SIZE), valid))}
    labels = torch.full((1, 2, *SIZE), int(value))
    return Layer(torch.full((1, 2, 3, *SIZE), value / 10), labels, mask, motion)


def window(x0, x1, shift=0):
    """A mask of columns x0 … x1 now, and moved by `shift` in the frame before."""
    mask = torch.zeros(1, 2, *SIZE, dtype=torch.bool)
    mask[:, 1, :, x0:x1] = True
    mask[:, 0, :, x0 + shift : x1 + shift] = True
    return mask


EVERYWHERE = torch.ones(1, 2, *SIZE, dtype=torch.bool)


def test_classes():
    labels = torch.tensor([[[0, 2, 2], [255, 4, 4]], [[1, 1, 1], [1, 1, 1]]])
    present = present_classes(labels, 5)
    assert present.tolist() == [[True, False, True, False, True], [False, True, False, False, False]]
    for _ in range(10):
        half = pick_classes(present, "half")
        assert half.sum(1).tolist() == [2, 1]
        assert not (half & ~present).any()
    assert pick_classes(present, 5).sum(1).tolist() == [3, 1]
    assert len({tuple(pick_classes(present, 1)[0].tolist()) for _ in range(40)}) == 3
    mask = class_mask(labels, torch.tensor([[True, False, True, False, False]] * 2))
    assert mask.tolist() == [[[True, True, True], [False] * 3], [[False] * 3, [False] * 3]]


def test_paste_order_labels_motion_and_origin():
    base = layer(1, EVERYWHERE, u=0.0)
    patch, top = layer(2, window(1, 4, 1), u=1.0), layer(3, window(3, 6))
    mixed = compose(base, [patch, top])
    assert mixed.labels[0, 1, 0].tolist() == [1, 2, 2, 3, 3, 3, 1, 1]
    assert mixed.labels[0, 0, 0].tolist() == [1, 1, 2, 3, 3, 3, 1, 1]
    assert mixed.origin[0, 1, 0].tolist() == [0, 1, 1, 2, 2, 2, 0, 0]
    torch.testing.assert_close(mixed.frames[0, :, 0], mixed.labels[0].float() / 10)
    motion = mixed.motion[1, 0]
    assert motion.flow[0, 0, 0].tolist() == [0, 1, 1, 0, 0, 0, 0, 0]
    # column 2 of the patch points at column 3, which the top layer covers in the frame before
    assert motion.valid[0, 0, 0].tolist() == [True, True, False, True, True, True, True, True]


def test_base_that_points_behind_a_patch_is_invalid():
    mixed = compose(layer(1, EVERYWHERE, u=2.0), [layer(2, window(4, 6))])
    # columns 2 and 3 point at the patch; 6 and 7 point out of the frame
    assert mixed.motion[1, 0].valid[0, 0, 0].tolist() == [True, True, False, False, True, True, False, False]


def test_still_patches_keep_motion_and_are_not_valid():
    mixed = compose(layer(1, EVERYWHERE, u=0.0), [layer(2, window(2, 4), still=True)])
    assert mixed.motion[1, 0].valid[0, 0, 0].tolist() == [True, True, False, False, True, True, True, True]
    assert float(mixed.motion[1, 0].flow.abs().max()) == 0.0
    unmixed = compose(layer(1, EVERYWHERE, u=0.0), [layer(2, window(2, 4), still=True)], mix_motion=False)
    assert torch.equal(unmixed.motion[1, 0].valid, mixed.motion[1, 0].valid)


def test_options():
    base, patch = layer(1, EVERYWHERE, u=0.0), layer(2, window(1, 4, 1), u=1.0)
    plain = compose(base, [patch], mix_motion=False)
    assert torch.equal(plain.motion[1, 0].flow, base.motion[1, 0].flow)
    published = compose(base, [patch], motion_mask="previous", check_origin=False)
    assert published.motion[1, 0].flow[0, 0, 0].tolist() == [0, 0, 1, 1, 1, 0, 0, 0]
    assert published.motion[1, 0].valid.all()


def test_weights_follow_the_patches():
    base = layer(1, EVERYWHERE)
    base = Layer(base.frames, base.labels, base.mask, base.motion, torch.full((1, 2, *SIZE), 0.25))
    mixed = compose(base, [layer(2, window(0, 2))])
    assert mixed.weight[0, 1, 0].tolist() == [1.0, 1.0] + [0.25] * 6


def test_boxes_lie_whole_in_the_frame_have_the_area_and_reach_every_corner():
    torch.manual_seed(0)
    masks = box_mask(400, (24, 32), 0.3)
    rows, columns = masks.any(2), masks.any(1)
    boxed = rows.sum(1) * columns.sum(1)
    assert torch.equal(masks.sum((1, 2)), boxed)
    assert ((boxed - 0.3 * 24 * 32).abs() <= 0.5 * (24 + 32) + 0.25).all()
    assert rows.any(0).all()
    assert columns.any(0).all()
    assert rows.sum(1).unique().numel() > 10
