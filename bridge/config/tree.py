"""YAML text -> plain values, and the line and column of each: what `config` reads.

Rules:
- Every scalar stays the text that was written: `no`, `0123`, `1e5` are strings until the model
  says otherwise. Only a plain empty value, `~` or `null` is None.
- A key written twice is a mistake, with both places. Tags are a mistake.
- Aliases and `<<` merges work; what they expand to is counted, so that a "billion laughs" file
  is refused and not unfolded. Depth is capped and parsing never recurses on it.
- Nothing of what was written goes into a mistake, but keys: a value may be a password.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

import yaml

from bridge import limits

try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # a PyYAML without libyaml: the same events, ten times slower
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]  # both are loaders

Value: TypeAlias = "str | list[Value] | dict[str, Value] | None"
Path: TypeAlias = tuple[str | int, ...]

QUOTE = "put a value that holds : # * & ! % @ or quotes in 'single quotes'"
_COMMENT = re.compile(r"[ \t]*#")
_NULLS = ("", "~", "null", "Null", "NULL")


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is written; both count from 1, columns in characters."""

    line: int = 1
    column: int = 1


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong with the text at `path`."""

    place: Place
    path: Path
    text: str
    advice: str


@dataclass(frozen=True, slots=True)
class Tree:
    """The values, and the place of each path: the key of a mapping's entry, a list's item.

    `commented` are the paths of plain scalars that have a comment behind them on their line.
    """

    value: Value
    places: dict[Path, Place]
    problems: tuple[Problem, ...]
    commented: frozenset[Path]

    def place(self, path: Path) -> Place:
        """The place of `path`, or of the nearest thing around it that was written."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, Place())


@dataclass(slots=True)
class _Node:
    place: Place
    kind: str  # scalar, list, map
    text: str | None = None
    commented: bool = False
    children: list[_Node] = field(default_factory=list)  # of a map: key, value, key, value
    closed: bool = False


def read(text: str) -> Tree:
    """Reads one YAML document. Never raises: what is wrong is in `problems`."""
    problems: list[Problem] = []
    if len(text) > limits.CONFIG_FILE:
        most = limits.CONFIG_FILE // 1024
        return _failed(Place(), f"is larger than {most} KiB", "split it or shorten it")
    try:
        root = _compose(text, problems)
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        line = before.count("\n") + 1
        place = Place(line, len(before) - before.rfind("\n"))
        return _failed(place, "holds a control character", "delete it")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(mark.line + 1, mark.column + 1) if mark else Place()
        where = f" {error.context}" if error.context else ""
        return _failed(place, f"is not YAML: {error.problem}{where}", QUOTE)
    except _Refused as refused:
        return _failed(refused.place, refused.text, refused.advice)
    return _unfold(root, problems)


def _failed(place: Place, text: str, advice: str) -> Tree:
    return Tree({}, {}, (Problem(place, (), text, advice),), frozenset())


class _Refused(Exception):
    def __init__(self, place: Place, text: str, advice: str) -> None:
        super().__init__(text)
        self.place, self.text, self.advice = place, text, advice


def _compose(text: str, problems: list[Problem]) -> _Node | None:
    """Events -> nodes, without recursion. An alias is the node that it names."""
    root: _Node | None = None
    anchors: dict[str, _Node] = {}
    open_nodes: list[_Node] = []
    documents = 0
    for event in yaml.parse(text, Loader=_Loader):
        if event.start_mark is None or event.end_mark is None:
            continue
        place = Place(event.start_mark.line + 1, event.start_mark.column + 1)
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise _Refused(place, "holds a second document after ---", "delete the ---")
            continue
        if isinstance(event, yaml.CollectionEndEvent):
            open_nodes.pop().closed = True
            continue
        if isinstance(event, yaml.AliasEvent):
            found = anchors.get(event.anchor or "")
            if found is None:
                raise _Refused(place, "is an alias (*) of an anchor (&) that is not there", QUOTE)
            if not found.closed:
                raise _Refused(place, "is an alias (*) of what it is written in", QUOTE)
            node = found
        elif isinstance(event, yaml.ScalarEvent):
            plain = event.implicit[0] and event.style in (None, "")
            value = None if plain and event.value in _NULLS else event.value
            commented = plain and _COMMENT.match(text, event.end_mark.index) is not None
            node = _Node(place, "scalar", value, commented, closed=True)
        elif isinstance(event, yaml.CollectionStartEvent):
            node = _Node(place, "map" if isinstance(event, yaml.MappingStartEvent) else "list")
        else:
            continue
        if not isinstance(event, yaml.AliasEvent):
            if event.tag is not None:
                problems.append(Problem(place, (), "has a tag (!)", QUOTE))
            if event.anchor is not None:
                anchors[event.anchor] = node
        if open_nodes:
            open_nodes[-1].children.append(node)
        else:
            root = node
        if isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append(node)
            if len(open_nodes) > limits.CONFIG_DEPTH:
                raise _Refused(place, f"is nested deeper than {limits.CONFIG_DEPTH}", QUOTE)
    return root


def _unfold(root: _Node | None, problems: list[Problem]) -> Tree:
    """Nodes -> values; each alias becomes a copy at its own path, so that paths are unique."""
    places: dict[Path, Place] = {(): root.place if root else Place()}
    commented: set[Path] = set()
    top: list[Value] = []
    waiting: list[tuple[_Node, Path, list[Value] | dict[str, Value], str]] = []
    if root is not None:
        waiting.append((root, (), top, ""))
    count = 0
    while waiting:
        node, path, home, key = waiting.pop()
        count += 1
        if count > limits.CONFIG_VALUES or len(path) > limits.CONFIG_DEPTH:
            text = f"unfolds into more than {limits.CONFIG_VALUES} values or is nested too deep"
            return _failed(node.place, text, "use fewer aliases (*)")
        value: Value
        if node.kind == "scalar":
            value = node.text
            if node.commented:
                commented.add(path)
        elif node.kind == "list":
            value = []
            for index, item in reversed(list(enumerate(node.children))):
                places[*path, index] = item.place
                waiting.append((item, (*path, index), value, ""))
        else:
            value = {}
            entries = list(_entries(node, path, problems))
            for name, at, item in reversed(entries):
                places[*path, name] = at
                waiting.append((item, (*path, name), value, name))
            value.update(dict.fromkeys(name for name, _, _ in entries))
        if isinstance(home, list):
            home.append(value)
        else:
            home[key] = value
    return Tree(top[0] if top else None, places, tuple(problems), frozenset(commented))


def _entries(
    node: _Node, path: Path, problems: list[Problem]
) -> Iterator[tuple[str, Place, _Node]]:
    """(key, its place, its value), the merged ones (`<<`) last, where the own ones lack them."""
    seen: dict[str, Place] = {}
    merged: list[_Node] = []
    for key, item in zip(node.children[::2], node.children[1::2], strict=True):
        if key.kind != "scalar" or key.text is None:
            problems.append(Problem(key.place, path, "has a key that is not text", "write a name"))
        elif key.text == "<<":
            merged.extend(item.children if item.kind == "list" else [item])
        elif key.text in seen:
            first = seen[key.text].line
            text = f"is written twice, first on line {first}"
            problems.append(Problem(key.place, (*path, key.text), text, "delete one of the two"))
        else:
            seen[key.text] = key.place
            yield key.text, key.place, item
    for source in merged:
        if source.kind != "map":
            problems.append(Problem(source.place, path, "merges (<<) what has no keys", QUOTE))
            continue
        for key, item in zip(source.children[::2], source.children[1::2], strict=True):
            if key.kind == "scalar" and key.text is not None and key.text not in seen:
                seen[key.text] = key.place
                yield key.text, key.place, item
