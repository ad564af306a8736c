"""The curve over the key-frame interval: the per-frame network's own scores at 1, fewer of its forwards after that."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from toy_video import ColourReader, reader, video_on_disk

from benchmarks import key_frames as benchmark
from crossfade.errors import UserError
from crossfade.evaluation import evaluate
from crossfade.key_frames import curve
from crossfade.temporal.davss import DAVSS
from crossfade.temporal.video_network import VideoNetwork


def test_the_curve(tmp_path):
    torch.manual_seed(0)
    frame = ColourReader()
    network = VideoNetwork(frame, DAVSS(frame, 4, interval=7, width=0.1))
    domain = video_on_disk(tmp_path)
    calls = []
    frame.register_forward_hook(lambda *_: calls.append(1))
    points = []
    for interval in (1, 2, 4):
        calls.clear()
        points += curve(network, domain, [interval])
        assert len(calls) == 8 / interval
    assert [point.interval for point in points] == [1, 2, 4]
    alone = evaluate(reader(), domain, checkpoint={}).metrics
    assert points[0].miou == alone["miou"] == 1.0
    assert points[0].consistency == alone["temporal_consistency"]["value"]
    assert all(point.miou < 1 and point.rate > 0 for point in points[1:])  # an untrained motion network moves all
    assert network.temporal.schedule.interval == 7


def test_a_threshold_stays(tmp_path):
    torch.manual_seed(0)
    frame = ColourReader()
    network = VideoNetwork(frame, DAVSS(frame, 4, interval=7, threshold=-1.0, width=0.1))  # every frame is too doubtful
    calls = []
    frame.register_forward_hook(lambda *_: calls.append(1))
    curve(network, video_on_disk(tmp_path), [4])
    assert len(calls) == 8


def test_the_command_prints_both_curves(tmp_path, monkeypatch, capsys):
    torch.manual_seed(0)
    frame, domain = ColourReader(), video_on_disk(tmp_path)
    model = SimpleNamespace(network=VideoNetwork(frame, DAVSS(frame, 4, interval=3, width=0.1)))
    monkeypatch.setattr(benchmark, "open_domain", lambda *_: domain)
    monkeypatch.setattr(benchmark, "load_model", lambda *_: model)
    file = tmp_path / "curves.json"
    monkeypatch.chdir(Path(__file__).resolve().parents[1])
    monkeypatch.setattr("sys.argv", ["key_frames", "--model", "there", "--intervals", "1", "--json", str(file)])
    assert benchmark.main() == 0
    said = capsys.readouterr().out
    assert "| frames since the key frame | mIoU |\n|---:|---:|\n| 0 | 100.0 % |\n| 1 |" in said
    found = json.loads(file.read_text())
    assert [*found["distances"]] == ["0", "1", "2"]
    assert found["distances"]["0"] == found["intervals"][0]["miou"] == 1.0


def test_a_network_without_key_frames(tmp_path):
    with pytest.raises(UserError, match="give a model whose temporal module is davss"):
        curve(reader(fusion=True), video_on_disk(tmp_path))
