"""What published networks compute (ADVENT, DA-VSN, TPS, STCL), said again in plain functions of a checkpoint.

Nothing of crossfade is used, so that a wrong stride, dilation, mean or rounding of ours cannot hide.
"""

import torch
import torch.nn.functional as F

MEANS = (104.00698793, 116.66876762, 122.67891434)
"""Of blue, green, red."""
STAGES = {1: (64, 3, 1, 1), 2: (128, 4, 2, 1), 3: (256, 23, 1, 2), 4: (512, 3, 1, 4)}
"""Layer → width, blocks, stride, dilation."""


def deeplab_keys(head, classes, fusion):
    """{key: shape} of a published DeepLab-v2 on ResNet-101, whose main head is `layer6` or `layer7`."""
    keys, inputs = {"conv1.weight": (64, 3, 7, 7)} | norm_keys("bn1", 64), 64
    for layer, (width, blocks, _, _) in STAGES.items():
        for block in range(blocks):
            at = f"layer{layer}.{block}"
            if block == 0:
                keys[f"{at}.downsample.0.weight"] = (4 * width, inputs, 1, 1)
                keys |= norm_keys(f"{at}.downsample.1", 4 * width)
            keys[f"{at}.conv1.weight"] = (width, inputs, 1, 1)
            keys[f"{at}.conv2.weight"] = (width, width, 3, 3)
            keys[f"{at}.conv3.weight"] = (4 * width, width, 1, 1)
            keys |= norm_keys(f"{at}.bn1", width) | norm_keys(f"{at}.bn2", width) | norm_keys(f"{at}.bn3", 4 * width)
            inputs = 4 * width
    for name, channels, outputs in (("layer5", 1024, classes), (head, 2048, classes if head == "layer6" else 256)):
        for k in range(4):
            keys[f"{name}.conv2d_list.{k}.weight"] = (outputs, channels, 3, 3)
            keys[f"{name}.conv2d_list.{k}.bias"] = (outputs,)
    if head == "layer7":
        keys["layer7.head.1.weight"] = (classes, 256, 1, 1)
    return keys | ({"sf_layer.weight": (classes, 2 * classes, 1, 1)} if fusion else {})


def norm_keys(name, channels):
    """{key: shape} of a batch norm."""
    parts = {f"{name}.{part}": (channels,) for part in ("weight", "bias", "running_mean", "running_var")}
    return parts | {f"{name}.num_batches_tracked": ()}


def normalised(state, name, x):
    """Batch norm in eval mode."""
    parts = (state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
    return F.batch_norm(x, *parts)


def block(state, name, x, **options):
    """Convolution, batch norm, ReLU, as mmcv names them."""
    return normalised(state, f"{name}.bn", F.conv2d(x, state[f"{name}.conv.weight"], **options)).relu()


def trunk(state, image):
    """(1, 3, H, W) RGB in [0, 1] → the outputs of layer3 and layer4."""
    bgr = 255 * image[:, [2, 1, 0]] - torch.tensor(MEANS).view(1, 3, 1, 1)
    x = normalised(state, "bn1", F.conv2d(bgr, state["conv1.weight"], stride=2, padding=3)).relu()
    x = F.max_pool2d(x, 3, stride=2, padding=1, ceil_mode=True)
    maps = {}
    for layer, (_, blocks, stride, dilation) in STAGES.items():
        for block in range(blocks):
            at, step = f"layer{layer}.{block}", 1 if block else stride
            y = normalised(state, f"{at}.bn1", F.conv2d(x, state[f"{at}.conv1.weight"], stride=step)).relu()
            y = F.conv2d(y, state[f"{at}.conv2.weight"], padding=dilation, dilation=dilation)
            y = normalised(state, f"{at}.bn2", y).relu()
            y = normalised(state, f"{at}.bn3", F.conv2d(y, state[f"{at}.conv3.weight"]))
            if block == 0:
                x = F.conv2d(x, state[f"{at}.downsample.0.weight"], stride=step)
                x = normalised(state, f"{at}.downsample.1", x)
            x = (x + y).relu()
        maps[layer] = x
    return maps[3], maps[4]


def summed(state, name, x):
    """Four dilated convolutions, summed."""
    total = 0
    for k, dilation in enumerate((6, 12, 18, 24)):
        weight, bias = state[f"{name}.conv2d_list.{k}.weight"], state[f"{name}.conv2d_list.{k}.bias"]
        total = total + F.conv2d(x, weight, bias, padding=dilation, dilation=dilation)
    return total


def main_logits(state, deep):
    """Of layer4's output."""
    if "layer6.conv2d_list.0.weight" in state:
        return summed(state, "layer6", deep)
    return F.conv2d(summed(state, "layer7", deep), state["layer7.head.1.weight"])


def fused(weight, now, before, flow, bring):
    """Score fusion of two frames' logits, the earlier ones brought here by `resampled` or `pushed`."""
    return F.conv2d(torch.cat([now, bring(before, flow)], 1), weight)


def resampled(image, flow):
    """FlowNet2's layer: bilinear, each of the four neighbours clamped to the border. (1, C, H, W), (1, 2, H, W)."""
    height, width = image.shape[-2:]
    x, y = torch.arange(width) + flow[0, 0], torch.arange(height)[:, None] + flow[0, 1]
    left, top = x.floor(), y.floor()
    result = torch.zeros_like(image)
    for column, across in ((left, 1 - (x - left)), (left + 1, x - left)):
        for row, down in ((top, 1 - (y - top)), (top + 1, y - top)):
            place = row.clamp(0, height - 1).long(), column.clamp(0, width - 1).long()
            result += across * down * image[:, :, place[0], place[1]]
    return result


def pushed(image, flow):
    """DA-VSN's loop: every pixel to the nearest place it moves to, the last that comes stays, holes are 0."""
    height, width = image.shape[-2:]
    result = torch.zeros_like(image)
    for x in range(width):
        for y in range(height):
            to_x, to_y = round(x - flow[0, 0, y, x].item()), round(y - flow[0, 1, y, x].item())
            if 0 <= to_x < width and 0 <= to_y < height:
                result[:, :, to_y, to_x] = image[:, :, y, x]
    return result
