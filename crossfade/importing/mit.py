"""The key names of SegFormer's encoders, which several published systems share."""

from crossfade.importing.base import State

_DEPTHS = {6: "mit_b2", 18: "mit_b3", 27: "mit_b4", 40: "mit_b5"}
"""Blocks of the third stage → encoder; two are b0 or b1."""


def mit_rules(theirs: str) -> tuple[tuple[str, str], ...]:
    """Rules of `renamer`: keys of a MiT that begin with `theirs` → our encoder's, under timm's names."""
    ours = "frame.encoder.body."
    rules = [(rf"^{theirs}\.patch_embed1\.", f"{ours}patch_embed.")]
    for k in range(1, 5):
        rules += [
            (rf"^{theirs}\.patch_embed{k}\.", f"{ours}stages_{k - 1}.downsample."),
            (rf"^{theirs}\.block{k}\.", f"{ours}stages_{k - 1}.blocks."),
            (rf"^{theirs}\.norm{k}\.", f"{ours}stages_{k - 1}.norm."),
        ]
    return (*rules, (r"^(frame\.encoder\..*\.mlp\.dwconv)\.dwconv\.", r"\1."))


def mit_of(state: State, theirs: str) -> str:
    """Which of mit_b0 … mit_b5 a checkpoint holds under keys that begin with `theirs`."""
    start = f"{theirs}.block3."
    blocks = {key.removeprefix(start).split(".")[0] for key in state if key.startswith(start)}
    narrow = state[f"{theirs}.patch_embed1.proj.weight"].shape[0] == 32
    return _DEPTHS.get(len(blocks), "mit_b0" if narrow else "mit_b1")
