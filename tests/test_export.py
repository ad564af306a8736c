"""A graph that was read back gives the network's logits, over a whole video and without crossfade's schedule."""

import json

import pytest
import torch
from methods.toy_network import ToyFrame
from toy_video import SPACE

from crossfade.cli import main
from crossfade.export import FORMATS, export, plan_of
from crossfade.model_folder import load_model, save_model
from crossfade.motion.field import Motion
from crossfade.networks import FRAME_NETWORKS, NetworkParameters
from crossfade.temporal import ModelParameters, build_video_network

SIZE = (32, 48)
TEMPORAL = {
    "none": {},
    "fusion": {},
    "tmanet": {"frames": 2, "key_channels": 8, "value_channels": 8},
    "davss": {"width": 0.1, "interval": 3},
    "dtern": {"exemplars": 5, "channels": 8, "kernels": [5, 3], "offsets": [-4, -2]},
}


@pytest.fixture(autouse=True)
def _small_network(monkeypatch):
    monkeypatch.setitem(FRAME_NETWORKS, "toy", ToyFrame)


def model(folder, kind, **more):
    torch.manual_seed(0)
    temporal = {"kind": kind, **TEMPORAL[kind], **more}
    parameters = ModelParameters(network=NetworkParameters(kind="toy"), temporal=temporal)
    built = build_video_network(parameters, 4)
    if kind == "fusion":
        torch.nn.init.normal_(built.temporal.sf_layer.weight)
    save_model(folder, built, parameters, SPACE, SIZE)
    return folder


class Player:
    """What someone without crossfade writes after reading the JSON."""

    def __init__(self, description):
        self.said = json.loads(description.read_text())
        self.graphs = {
            name: torch.export.load(description.with_name(graph["file"])).module()
            for name, graph in self.said["graphs"].items()
        }
        state = self.said["state"].items()
        self.state = {name: torch.zeros(s["shape"], dtype=getattr(torch, s["dtype"])) for name, s in state}
        self.t = 0

    def step(self, frame, flow, valid):
        turn = {"graph": "step", "reads": []}
        if plan := self.said["plan"]:
            turns, over = plan["turns"], self.t - len(plan["turns"])
            turn = turns[self.t] if over < 0 else turns[len(turns) - plan["repeat"] + over % plan["repeat"]]
        given = {"frame": frame, "flow": flow, "valid": valid, "reads": torch.tensor(turn["reads"])}
        given |= {f"state_{name}": value for name, value in self.state.items()}
        graph = self.said["graphs"][turn["graph"]]
        result = self.graphs[turn["graph"]](*(given[name] for name in graph["inputs"]))
        logits, *state = result
        self.state = dict(zip(self.state, state, strict=True))
        self.t += 1
        return logits


@pytest.mark.parametrize("kind", TEMPORAL)
def test_the_graphs_stream_as_the_network_does(kind, tmp_path, capsys):
    folder, out = model(tmp_path / "model", kind), tmp_path / "graph.pt2"
    assert main(["export", str(folder), "--out", str(out)]) == 0
    assert "differ from the network by" in capsys.readouterr().out
    names = {"graph.pt2", "graph.json"} | (set() if kind == "none" else {"graph-start.pt2"})
    assert {path.name for path in tmp_path.iterdir()} == names | {"model"}
    player, stream = Player(tmp_path / "graph.json"), load_model(folder).network.stream()
    assert ("flow" in player.said["graphs"]["step"]["inputs"]) == (kind == "fusion")
    torch.manual_seed(5)
    for t in range(8):
        frame, flow, valid = torch.rand(1, 3, *SIZE), torch.randn(1, 2, *SIZE) * 3, torch.rand(1, 1, *SIZE) > 0.2
        with torch.no_grad():
            expected = stream.step(frame, Motion(flow, valid) if t else None)
            torch.testing.assert_close(player.step(frame, flow, valid), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("propagate", ["warp", "splat"])
def test_published_fusion_without_validity(propagate, tmp_path):
    folder = model(tmp_path / "model", "fusion", validity=False, propagate=propagate)
    exported = export(folder, "torch-export", tmp_path / "graph.pt2")
    assert exported.difference is not None
    said = json.loads((tmp_path / "graph.json").read_text())
    assert said["enlargement"] == {"mode": "bilinear", "align_corners": False}


def test_the_graph_says_how_its_logits_are_enlarged(tmp_path):
    export(model(tmp_path / "model", "davss", interval=1, align_corners=True), "torch-export", tmp_path / "graph.pt2")
    assert json.loads((tmp_path / "graph.json").read_text())["enlargement"]["align_corners"] is True


def test_the_plan_is_the_schedule(tmp_path):
    network = load_model(model(tmp_path, "dtern")).network
    plan = plan_of(network)
    assert [plan.turn(t).graph for t in range(8)] == ["start", "start", *["step"] * 6]
    assert [plan.turn(t).reads for t in (2, 3, 4, 9)] == [(2, 3), (1, 3), (0, 2), (0, 2)]
    plan = plan_of(load_model(model(tmp_path / "davss", "davss")).network)
    assert [plan.turn(t).graph for t in range(7)] == ["start", "step", "step", "start", "step", "step", "start"]


def test_key_frames_alone_are_one_graph_without_memory(tmp_path):
    exported = export(model(tmp_path / "model", "davss", interval=1), "torch-export", tmp_path / "graph.pt2")
    assert [file.name for file in exported.files] == ["graph.pt2", "graph.json"]
    assert exported.difference is not None
    player = Player(tmp_path / "graph.json")
    network = load_model(tmp_path / "model").network
    frame = torch.rand(1, 3, *SIZE)
    with torch.no_grad():
        torch.testing.assert_close(player.step(frame, None, None), network.frame(frame).logits, rtol=1e-4, atol=1e-4)


def test_a_graph_that_differs_is_not_kept(tmp_path, monkeypatch, capsys):
    suffix, write, read = FORMATS["torch-export"]

    def spoiled(file, inputs):
        run = read(file, inputs)
        return lambda *given: [value + 1 for value in run(*given)]

    monkeypatch.setitem(FORMATS, "torch-export", (suffix, write, spoiled))
    folder = model(tmp_path / "model", "none")
    assert main(["export", str(folder), "--out", str(tmp_path / "graph.pt2")]) == 2
    assert "is off by" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_mistakes_are_one_sentence(tmp_path, capsys, monkeypatch):
    folder = model(tmp_path / "model", "none")
    doubting = model(tmp_path / "doubting", "davss", threshold=0.5)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for arguments, words in (
        ([tmp_path, "--out", tmp_path / "a.pt2"], "is not a model"),
        ([folder, "--out", tmp_path / "a.onnx"], "must end in .pt2"),
        ([doubting, "--out", tmp_path / "a.pt2"], "key frames by threshold cannot be exported"),
        ([folder, "--format", "onx", "--out", tmp_path / "a.onnx"], "did you mean 'onnx'"),
        ([folder, "--format", "onnx", "--out", tmp_path / "a.onnx"], "pip install onnx onnxscript onnxruntime"),
    ):
        assert main(["export", *map(str, arguments)]) == 2
        said = capsys.readouterr().err.strip()
        assert words in said
        assert "\n" not in said
    assert {path.name for path in tmp_path.iterdir()} == {"model", "doubting"}


@pytest.mark.parametrize("kind", TEMPORAL)
def test_onnx(kind, tmp_path):
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    exported = export(model(tmp_path / "model", kind), "onnx", tmp_path / "graph.onnx")
    assert exported.difference is not None
