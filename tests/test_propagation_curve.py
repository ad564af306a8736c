import pytest
import torch
from toy_video import ColourReader, reader, video_on_disk

from crossfade.data.loading import frames_in_order
from crossfade.data.manifest import Frame, Manifest, Video
from crossfade.errors import UserError
from crossfade.inference import frame_logits, labels_at
from crossfade.metrics.propagation import PropagationDistance
from crossfade.propagation import propagation_curve
from crossfade.temporal.davss import DAVSS
from crossfade.temporal.video_network import VideoNetwork

DISTANCES = (0, 1, 3)


def remembering():
    """Says what the frame before said, with green and blue exchanged: right on a key frame, wrong after it."""
    network = reader(fusion=True).eval()
    exchanged = torch.eye(4)[[0, 2, 1, 3]]
    network.temporal.sf_layer.weight.data = torch.cat([torch.zeros(4, 4), exchanged], 1)[..., None, None]
    return network


@pytest.mark.parametrize("labelled", [range(8), (2, 5)])
def test_every_labelled_frame_is_scored_at_every_distance_from_a_fresh_start(tmp_path, labelled):
    domain = video_on_disk(tmp_path)
    (video,) = domain.videos
    frames = tuple(Frame(f.image, f.label if k in labelled else None, f.time) for k, f in enumerate(video.frames))
    sparse = Video(video.name, video.split, video.size, frames)
    domain = type(domain)(
        Manifest("toy", "toy", tmp_path, (sparse,)), domain.motion, domain.label_space, (32, 48), ("val",)
    )
    network = remembering()
    measured = propagation_curve(network, domain, DISTANCES)

    naive, seen = PropagationDistance(4, DISTANCES), list(frames_in_order(domain, sparse))
    for end in labelled:
        for distance in DISTANCES:
            if end >= distance:
                stream = network.stream()
                for k in range(end - distance, end + 1):
                    motion = seen[k].motion if k > end - distance else None
                    said = labels_at(frame_logits(stream, seen[k].frame, motion, "cpu"), (32, 48), False)
                naive.update(said, seen[end].label, distance)
    assert measured.compute() == pytest.approx(naive.compute(), nan_ok=True)
    assert measured.compute()[0] == 1.0
    assert measured.compute()[1] < 0.8


def test_a_distance_no_key_frame_is_ever_away(tmp_path):
    frame = ColourReader()
    network = VideoNetwork(frame, DAVSS(frame, 4, interval=3, threshold=0.0, width=0.1)).eval()
    domain = video_on_disk(tmp_path)
    carried = propagation_curve(network, domain, (0, 2)).compute()
    assert carried[0] == 1.0
    assert carried[2] < 1.0  # no key frame in between, whatever the threshold
    assert network.temporal.schedule.threshold == 0.0
    with pytest.raises(UserError, match="never 3 frames away"):
        propagation_curve(network, domain, DISTANCES)
