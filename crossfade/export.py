"""`crossfade export`: a model as a graph that runs without crossfade, frame by frame, its memory in and out explicitly.

A per-frame network becomes one graph, frame → logits. A network with memory becomes two, both with the state as further
inputs and outputs: `start` (nothing is read yet) and the step. A JSON beside them names the inputs and outputs and
says, frame by frame, which graph runs and which places of the memory it reads.
"""

import importlib.util
import io
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor, nn

from crossfade.errors import UserError, unknown_name
from crossfade.files import atomic_path, write_json
from crossfade.model_folder import Model, load_model
from crossfade.motion.field import Motion
from crossfade.temporal.base import Slot
from crossfade.temporal.schedule import KeyFrames, SlidingMemory
from crossfade.temporal.video_network import VideoNetwork

TOLERANCE = 1e-4
"""Largest difference to the network itself that passes, as a share of its largest logit."""

Tensors = tuple[Tensor, ...]

Run = Callable[..., Sequence[Tensor]]
"""A graph that was read back: inputs in order → outputs in order."""


@dataclass(frozen=True)
class Turn:
    """What happens at a frame.

    Attributes:
        graph: "start" or "step".
        reads: places of the memory (0: its oldest frame) that the step reads, oldest first.
    """

    graph: str
    reads: tuple[int, ...] = ()


@dataclass(frozen=True)
class Plan:
    """Which graph runs when, and how large the memory is.

    Attributes:
        turns: of the first frames of a video.
        repeat: after them the last so many turns follow again and again.
        places: how many frames are in the memory.
    """

    turns: tuple[Turn, ...]
    repeat: int
    places: int

    def turn(self, t: int) -> Turn:
        """Of a video's frame `t`, from 0."""
        over = t - len(self.turns)
        return self.turns[t] if over < 0 else self.turns[len(self.turns) - self.repeat + over % self.repeat]


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        files: the graphs (the step, or the only one, first) and the description.
        frames: over how many frames they were compared with the network.
        difference: the largest, as a share of the largest logit; None where the graphs could only be checked for form.
    """

    files: tuple[Path, ...]
    frames: int
    difference: float | None


def plan_of(network: VideoNetwork) -> Plan:
    """The network's schedule as a table.

    Raises:
        UserError: it asks the network itself which frames are key frames.
    """
    schedule = network.temporal.schedule
    if isinstance(schedule, KeyFrames):
        if schedule.threshold is not None:
            raise UserError("key frames by threshold cannot be exported (what runs depends on the video): leave it out")
        steps = [Turn("step", (0,))] * (schedule.interval - 1)
        return Plan((Turn("start"), *steps), schedule.interval, 1 if steps else 0)
    if not isinstance(schedule, SlidingMemory):
        raise UserError(f"a network with the schedule {type(schedule).__name__} cannot be exported")
    past, turns = schedule.past, []
    for t in range(past + 1):
        read = [k - t + past for k in schedule.reads(t, range(t), lambda _: 0.0)]
        # A graph reads a fixed number of places: the oldest frame there is stands in for those that are missing.
        read = [*read[:1] * (len(schedule.steady) - len(read)), *read]
        turns.append(Turn("step", tuple(read)) if read else Turn("start"))
    return Plan(tuple(turns), 1, past)


@final
class Graph(nn.Module):
    """One of a network's graphs: (frame, [flow, valid], [reads], *state) → (logits, *state).

    The state is one tensor a name of the module's slots, (places, B, …), its oldest frame first.
    """

    def __init__(self, network: VideoNetwork, plan: Plan, names: Sequence[str], step: bool) -> None:
        super().__init__()
        self.network = network
        self.plan = plan
        self.names = tuple(names)
        self.step = step

    @property
    def inputs(self) -> list[str]:
        """Their names, in order."""
        motion = ["flow", "valid"] if self.network.uses_motion and self.plan.places else []
        return ["frame", *motion, *(["reads"] if self._picks else []), *(f"state_{name}" for name in self.names)]

    @property
    def outputs(self) -> list[str]:
        """Their names, in order."""
        return ["logits", *(f"next_{name}" for name in self.names)]

    @property
    def _picks(self) -> bool:
        return self.step and self.plan.places > 1

    def arguments(self, turn: Turn, frame: Tensor, motion: Motion | None, state: Sequence[Tensor]) -> Tensors:
        """The inputs in order, for a turn of the plan; unknown motion is valid nowhere."""
        given = [frame]
        if "flow" in self.inputs:
            flow = torch.zeros(frame.shape[0], 2, *frame.shape[-2:]) if motion is None else motion.flow
            given += [flow, torch.zeros_like(flow[:, :1], dtype=torch.bool) if motion is None else motion.valid]
        if self._picks:
            given.append(torch.tensor(turn.reads))
        return (*given, *state)

    def forward(self, *given: Tensor) -> Tensors:
        """See the class."""
        temporal, named = self.network.temporal, dict(zip(self.inputs, given, strict=True))
        frame = named["frame"]
        motion = Motion(named["flow"], named["valid"]) if "flow" in named else None
        sliding = isinstance(temporal.schedule, SlidingMemory)
        slots = [{n: named[f"state_{n}"][k] for n in self.names} for k in range(self.plan.places)]
        if self.step or sliding:  # a key frame forgets everything
            slots = [temporal.advance(slot, frame, motion) for slot in slots]
        output = (self.network.light if self.step else self.network.frame)(frame)
        read = slots
        if self._picks:
            picked = {n: torch.stack([s[n] for s in slots]).index_select(0, named["reads"]) for n in self.names}
            read = [{n: picked[n][k] for n in self.names} for k in range(len(temporal.schedule.steady))]
        logits = temporal.read(output, read if self.step else []).logits
        if slots and (sliding or not self.step):
            slots = [*slots[1:], temporal.encode(output)]
        return (logits, *(torch.stack([slot[n] for slot in slots]) for n in self.names))


def export(folder: Path, form: str, out: Path) -> Exported:
    """Write a model's graphs, read them back and compare them with the network over the beginning of a video.

    Args:
        folder: a model folder.
        form: a key of `FORMATS`.
        out: the graph (of the step, where there are two); `-start` and `.json` files stand beside it.

    Raises:
        UserError: an unknown form, a wrong suffix, packages that are missing, a schedule that cannot be exported, or a
            graph that does not give the network's logits.
    """
    if form not in FORMATS:
        raise unknown_name("format", form, FORMATS)
    suffix, write, read = FORMATS[form]
    if out.suffix != suffix:
        raise UserError(f"a graph in the format {form} must end in {suffix}, not '{out.suffix}' ({out})")
    if form == "onnx":
        _need_onnx()
    model = load_model(folder)
    network = model.network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    plan = plan_of(network)
    torch.manual_seed(0)
    with torch.no_grad():
        slot = _slot(network, torch.rand(1, 3, *model.size)) if plan.places else {}
        state = initial_state(slot, plan)
        graphs = {"step": Graph(network, plan, sorted(slot), step=bool(plan.places)).eval()}
        files = {"step": out}
        if plan.places:
            graphs["start"] = Graph(network, plan, sorted(slot), step=False).eval()
            files["start"] = out.with_name(f"{out.stem}-start{suffix}")
        with ExitStack() as stack:  # nothing appears before all of it is found right
            temporary = {name: stack.enter_context(atomic_path(file)) for name, file in files.items()}
            runs = {}
            for name, graph in graphs.items():
                turn = next(turn for turn in plan.turns if turn.graph == name or not plan.places)
                arguments = graph.arguments(turn, torch.rand(1, 3, *model.size), None, state)
                temporary[name].write_bytes(write(graph, arguments))
                if run := read(temporary[name], graph.inputs):
                    runs[name] = run
            frames, difference = 0, None
            if len(runs) == len(graphs):
                frames = len(plan.turns) + plan.repeat + 1
                difference = _difference(network, graphs, runs, plan, state, model.size, frames)
                if not difference <= TOLERANCE:
                    raise UserError(f"the graph of {folder} is off by {difference:.1e} of the logits: not exported")
    description = out.with_suffix(".json")
    write_json(description, _description(model, form, plan, graphs, files, state))
    return Exported((*files.values(), description), frames, difference)


def _slot(network: VideoNetwork, frame: Tensor) -> Slot:
    """One frame's slot, if slots have the same parts all along."""
    slot = network.temporal.encode(network.frame(frame))
    extra = sorted(network.temporal.advance(slot, frame, None).keys() ^ slot.keys())
    if extra:
        raise UserError(f"this network cannot be exported: what it remembers changes on the way ({extra[0]})")
    return slot


def initial_state(slot: Slot, plan: Plan) -> Tensors:
    """The state before a video: zeros, (places, B, …), in the order of the names."""
    return tuple(torch.zeros(plan.places, *slot[name].shape, dtype=slot[name].dtype) for name in sorted(slot))


def _difference(
    network: VideoNetwork,
    graphs: dict[str, Graph],
    runs: dict[str, Run],
    plan: Plan,
    state: Sequence[Tensor],
    size: tuple[int, int],
    frames: int,
) -> float:
    """Largest difference between the graphs along a plan and the network's own stream, as a share of its logits."""
    stream, worst, largest = network.stream(), 0.0, 0.0
    for t in range(frames):
        frame = torch.rand(1, 3, *size)
        motion = Motion(torch.randn(1, 2, *size) * 2, torch.rand(1, 1, *size) > 0.1) if t else None
        turn = plan.turn(t)
        name = turn.graph if plan.places else "step"
        logits, *state = runs[name](*graphs[name].arguments(turn, frame, motion, state))
        expected = stream.step(frame, motion)
        worst = max(worst, float((logits - expected).abs().max()))
        largest = max(largest, float(expected.abs().max()))
    return worst / max(largest, 1e-12)


def _description(
    model: Model,
    form: str,
    plan: Plan,
    graphs: dict[str, Graph],
    files: dict[str, Path],
    state: Sequence[Tensor],
) -> dict[str, Any]:
    names = graphs["step"].names
    return {
        "format": form,
        "graphs": {
            name: {"file": files[name].name, "inputs": graph.inputs, "outputs": graph.outputs}
            for name, graph in graphs.items()
        },
        "frame": "(1, 3, height, width) float32, RGB in [0, 1]",
        "size": list(model.size),
        "enlargement": {"mode": "bilinear", "align_corners": model.network.align_corners},
        "motion": "flow (1, 2, height, width) in pixels from this frame to the one before; valid: bool, False: unknown",
        "state": {
            name: {"shape": list(tensor.shape), "dtype": str(tensor.dtype).removeprefix("torch."), "start": 0}
            for name, tensor in zip(names, state, strict=True)
        },
        "plan": {"turns": [asdict(turn) for turn in plan.turns], "repeat": plan.repeat} if plan.places else None,
        "classes": list(model.classes),
        "colours": model.colours.tolist(),
    }


def _write_torch(graph: Graph, arguments: Tensors) -> bytes:
    buffer = io.BytesIO()
    torch.export.save(torch.export.export(graph, arguments), buffer)
    return buffer.getvalue()


def _read_torch(file: Path, inputs: list[str]) -> Run:
    run: Run = torch.export.load(io.BytesIO(file.read_bytes())).module()
    return run


def _need_onnx() -> None:
    lacking = [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]
    if lacking:
        raise UserError(
            f"the format onnx needs {' and '.join(lacking)}, not installed here: pip install onnx onnxscript "
            "onnxruntime (the last one to compare graph and network), or export with --format torch-export"
        )


def _write_onnx(graph: Graph, arguments: Tensors) -> bytes:
    program = torch.onnx.export(
        torch.export.export(graph, arguments), input_names=graph.inputs, output_names=graph.outputs, dynamo=True
    )
    assert program is not None
    content: bytes = program.model_proto.SerializeToString()
    return content


def _read_onnx(file: Path, inputs: list[str]) -> Run | None:
    """Through onnxruntime; where that is not installed, None once the checker has passed the file."""
    if importlib.util.find_spec("onnxruntime") is None:
        import onnx

        onnx.checker.check_model(str(file), full_check=True)
        return None
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    used = [entry.name for entry in session.get_inputs()]  # what a graph does not look at is no input of it any more

    def run(*given: Tensor) -> list[Tensor]:
        named = dict(zip(inputs, given, strict=True))
        return [torch.from_numpy(value) for value in session.run(None, {name: named[name].numpy() for name in used})]

    return run


FORMATS: dict[str, tuple[str, Callable[[Graph, Tensors], bytes], Callable[[Path, list[str]], Run | None]]] = {
    "torch-export": (".pt2", _write_torch, _read_torch),
    "onnx": (".onnx", _write_onnx, _read_onnx),
}
"""Name → suffix, writer, reader."""
