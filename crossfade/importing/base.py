"""What there is to know of a published system's checkpoints."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

State = Mapping[str, Tensor]
"""A checkpoint: key → tensor."""

Size = tuple[int, int]
"""(H, W)."""


@dataclass(frozen=True)
class System:
    """How the files of a published system become a video network of ours.

    Attributes:
        title: of the system, for people.
        sign: keys by which its files are known.
        classifier: the key whose first dimension is the number of classes.
        model: checkpoint → our `ModelParameters` as plain values, from shapes where need be; nothing pretrained.
        rename: a key of theirs → ours (`frame.…` or `temporal.…`), or None for a weight that the published code never
            uses. A key that it does not know stays as it is, and is then found to be left over.
        published: number of classes → (label space, size it worked at), the usual one first.
        prefixes: beginnings of keys that say nothing, besides `module.`.
    """

    title: str
    sign: tuple[str, ...]
    classifier: str
    model: Callable[[State], dict[str, Any]]
    rename: Callable[[str], str | None]
    published: Mapping[int, tuple[str, Size]]
    prefixes: tuple[str, ...] = field(default=())


def renamer(*rules: tuple[str, str], dead: tuple[str, ...] = ()) -> Callable[[str], str | None]:
    """A `System.rename` from a table: each rule (regular expression, replacement) is applied, one after the other.

    Args:
        rules: see `re.sub`.
        dead: regular expressions of keys that are dropped.
    """

    def rename(key: str) -> str | None:
        if any(re.search(pattern, key) for pattern in dead):
            return None
        for pattern, replacement in rules:
            key = re.sub(pattern, replacement, key)
        return key

    return rename
