"""params.yaml as a text that a person keeps: entries switched on and off and given values, all else left as it is.

Works on the entries of `pairs`, `data_sets` and `motion` that are written between braces, `name: {…}`, with or without
a comment sign before them.
"""

import re
from collections.abc import Mapping
from typing import Any

import yaml

from crossfade.errors import UserError, unknown_name


class _Loader(yaml.SafeLoader):
    """YAML as DVC reads and writes it (1.2): only true and false are booleans, `off` is a word; no key stands twice."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """A mapping.

        Raises:
            UserError: a key stands twice: the last would count, without a word.
        """
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        lines: dict[str, int] = {}
        for key, _ in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in lines:
                raise UserError(
                    f"params.yaml: the key '{name}' stands twice in one place, in lines {lines[name]} and {line}: "
                    "remove one of the two"
                )
            lines[name] = line
        return node


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


def parse(text: str) -> Any:
    """The content of params.yaml.

    Raises:
        UserError: it is not YAML, or a key stands twice in one section.
    """
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise UserError(f"params.yaml is not valid YAML: {' '.join(str(error).split())}") from error


def pair_names(text: str) -> list[str]:
    """The pairs that are written between braces, switched on or off."""
    return [match["name"] for match in _ENTRY.finditer(_section(text, "pairs"))]


def merged_in(text: str, name: str, preset: str) -> str:
    """The text with a preset's sections in place of its own, which stay as comments at the top, see `taken_out`.

    At the top, because what DVC writes (`dvc exp run -S`) keeps no comment that follows a list.

    Args:
        text: params.yaml without a preset.
        name: the preset's.
        preset: sections as in params.yaml, and `published`, which is read where it stands.

    Raises:
        UserError: params.yaml lacks one of the sections.
    """
    new = {match["section"]: match[0].rstrip("\n") for match in _SECTION.finditer(preset)}
    new.pop("published", None)
    for section in new:
        _section(text, section)
    own = "".join(match[0] for match in _SECTION.finditer(text) if match["section"] in new)
    aside = "".join(f"{_ASIDE}{line}\n" for line in own.split("\n"))

    def replaced(match: re.Match[str]) -> str:
        end = match[0][len(match[0].rstrip("\n")) :]
        return new[match["section"]] + end if match["section"] in new else match[0]

    return f"{_BEGIN}{name}{_HINT}\n{aside}{_SECTION.sub(replaced, text)}"


def preset_in(text: str) -> tuple[str | None, dict[str, Any]]:
    """The preset that is merged in, None if none is, and its sections as they are now."""
    top = _top(text)
    if top is None:
        return None, {}
    now = parse(text[top.end() :])
    return top["name"], {section: now.get(section) for section in _put_aside(top)}


def taken_out(text: str) -> str:
    """The text without a preset, just as it was before `merged_in`."""
    top = _top(text)
    if top is None:
        return text
    own = _put_aside(top)
    return _SECTION.sub(lambda match: own.get(match["section"], match[0]), text[top.end() :])


def _top(text: str) -> re.Match[str] | None:
    """What `merged_in` put at the top."""
    return re.match(rf"{_BEGIN}(?P<name>[\w-]+)[^\n]*\n(?P<aside>(?:{re.escape(_ASIDE.rstrip())}[^\n]*\n)*)", text)


def _put_aside(top: re.Match[str]) -> dict[str, str]:
    """The sections that a preset replaces, as they were, by name."""
    aside = "\n".join(line[len(_ASIDE) :] for line in top["aside"].split("\n")[:-1])
    return {match["section"]: match[0] for match in _SECTION.finditer(aside)}


def switched(text: str, pair: str) -> str:
    """The text with only `pair` active: its entry and its data sets' are uncommented, those of other pairs are not.

    Raises:
        UserError: the file has no such entry, or another pair, or data of another pair, is written in a way that cannot
            be switched off (rendered data may stay: they need nothing that a person has to get).
    """
    entries = {m["name"]: parse(m["value"]) for m in _ENTRY.finditer(_section(text, "pairs"))}
    if pair not in entries:
        raise unknown_name("pair", pair, entries)
    for name, entry in entries.items():
        for side in ("source", "target"):
            if side not in entry:
                raise UserError(f"params.yaml: pairs.{name} has no {side}: name one of data_sets")
    needed = {entries[pair]["source"], entries[pair]["target"]}
    wanted = {pair, *needed}
    managed = {name for key, entry in entries.items() for name in (key, entry["source"], entry["target"])}

    def line(match: re.Match[str]) -> str:
        name = match["name"]
        active = name in wanted or (name not in managed and not match["off"])
        return f"  {'' if active else '# '}{name}: {_one_line(match['value'])}{match['rest']}"

    for section in ("pairs", "data_sets", "motion"):
        old = _section(text, section)
        text = text.replace(old, _ENTRY.sub(line, old))
        if section == "data_sets":  # what is written over several lines stays, and its motion with it
            wanted |= {name for name, entry in (parse(text)["data_sets"] or {}).items() if entry is not None}
    raw = parse(text)
    left = set(raw["pairs"]) - {pair}
    if left:
        raise UserError(f"params.yaml: write the pair '{min(left)}' as '{min(left)}: {{…}}', or put # before its lines")
    got = {name for name, entry in raw["data_sets"].items() if entry is not None and entry.get("kind") != "street"}
    if stay := sorted(got & (managed - needed)):
        raise UserError(
            f"params.yaml: write the data set '{stay[0]}' as '{stay[0]}: {{…}}', or put # before its lines: over "
            "several lines it cannot be switched off"
        )
    return text


def with_values(text: str, section: str, name: str, values: Mapping[str, Any]) -> str:
    """The text with other values in one entry.

    Raises:
        UserError: the file has no such entry between braces.
    """
    found = 0

    def line(match: re.Match[str]) -> str:
        nonlocal found
        if match["name"] != name:
            return match[0]
        found += 1
        value = {**parse(match["value"]), **values}
        dumped = yaml.safe_dump(value, default_flow_style=True, width=1 << 20, allow_unicode=True, sort_keys=False)
        return f"  {match['off'] or ''}{name}: {dumped.strip()}{match['rest']}"

    old = _section(text, section)
    new = _ENTRY.sub(line, old)
    if not found:
        raise UserError(f"params.yaml has no entry '{name}: {{…}}' under {section}: write it so, or put it back")
    return text.replace(old, new)


_BEGIN, _HINT = "# preset ", ": in place of these sections; python -m stages.switch PAIR puts them back"
_ASIDE = "#| "
"""Before every line that a preset replaces."""
_SECTION = re.compile(r"^(?P<section>\w+):.*?(?=^\w|\Z)", re.MULTILINE | re.DOTALL)

_QUOTED = r'"(?:[^"\\]|\\.)*"' + r"|'[^']*'"
_PLAIN = rf"""(?:{_QUOTED}|[^{{}}"'])*"""
_VALUE = rf"\{{{_PLAIN}(?:\{{{_PLAIN}\}}{_PLAIN})*\}}"
_ENTRY = re.compile(rf"^  (?P<off># )?(?P<name>[\w-]+): (?P<value>{_VALUE})(?P<rest>[^\n]*)$", re.MULTILINE)


def _one_line(value: str) -> str:
    """DVC wraps long entries when it writes the file; a commented one must not be."""
    return re.sub(r"\n\s*", " ", value)


def _section(text: str, name: str) -> str:
    """A top-level section with its heading, up to the next one."""
    match = re.search(rf"^{name}:.*?(?=^\w|\Z)", text, re.MULTILINE | re.DOTALL)
    if match is None:
        raise UserError(f"params.yaml has no section '{name}': put it back")
    return match[0]
