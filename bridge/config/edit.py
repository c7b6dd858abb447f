"""A config file with an account more or less: every other line of it stays as it is. Pure.

Rules: text is inserted or cut out, nothing is written anew, so that comments, order and quotes
stay; what comes out is read again and must say what was meant, or it is refused and a person is
told what to write by hand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeAlias

import yaml

from bridge.config import tree
from bridge.config.tree import Value

Item: TypeAlias = "Mapping[str, str | int | bool | Sequence[str] | Item]"

_PLAIN = re.compile(r"[A-Za-z0-9/][A-Za-z0-9@._/+~-]*")
_WORDS = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})
HEAD: Final = """\
# What popbridge collects, and for whom. Made by `popbridge setup`.
# All keys are explained in config.example.yaml. After a change: popbridge check
"""


class CannotEdit(ValueError):
    """The file is written in a way that we do not change; the text says what to write by hand."""


def fresh(top: Item) -> str:
    """A new file with these keys, and neither accounts nor logins yet."""
    return HEAD + "".join(f"{line}\n" for line in _mapping(top, 0))


def add(text: str, key: str, item: Item) -> str:
    """The file with one item more in the list at `key` (`accounts`, `logins`), which is made when
    missing. Raises CannotEdit."""
    before = _read(text)
    root = _compose(text)
    node = _under(root, key)
    if root is not None and root.flow_style:
        made = _into_flow(text, root, node, key, item)
    elif node is None:
        gap = "" if text.endswith("\n") or not text else "\n"
        made = text + gap + f"{key}:\n" + _block(item, 2)
    elif isinstance(node, yaml.SequenceNode) and node.flow_style:
        made = _into_list(text, node, item)
    elif isinstance(node, yaml.SequenceNode):
        at = _end_of_line(text, _last(node, text))
        gap = "" if text[at - 1 : at] == "\n" else "\n"
        made = text[:at] + gap + _block(item, node.start_mark.column) + text[at:]
    else:
        raise _refused(key, item)
    old = before.get(key)
    wanted = {**before, key: [*(old if isinstance(old, list) else []), _strings(item)]}
    if _read(made) != wanted:
        raise _refused(key, item)
    return made


def remove(text: str, key: str, index: int) -> str:
    """The file without the item at `index` of the list at `key`. Raises CannotEdit."""
    before = _read(text)
    node = _under(_compose(text), key)
    old = before.get(key)
    if not isinstance(node, yaml.SequenceNode) or not isinstance(old, list):
        raise CannotEdit(f"delete item {index + 1} of {key} by hand")
    item = node.value[index]
    if node.flow_style:
        start, end = item.start_mark.index, item.end_mark.index
        after = re.compile(r"\s*,\s*").match(text, end)
        if after is not None:
            end = after.end()
        else:
            start = len(text[:start].rstrip().removesuffix(",").rstrip())
        made = text[:start] + text[end:]
    else:
        start = text.rfind("\n", 0, item.start_mark.index) + 1
        end = _end_of_line(text, _last(item, text))
        made = text[:start] + text[end:]
        if len(node.value) == 1:
            made = _emptied(made, key)
    if _read(made) != {**before, key: [*old[:index], *old[index + 1 :]]}:
        raise CannotEdit(f"delete item {index + 1} of {key} by hand")
    return made


def _refused(key: str, item: Item) -> CannotEdit:
    return CannotEdit(f"add this to {key} by hand:\n{_block(item, 2).rstrip()}")


def _read(text: str) -> dict[str, Value]:
    found = tree.read(text)
    if found.problems or not isinstance(found.value, dict | None):
        raise CannotEdit("it is no config as popbridge writes it; popbridge check says more")
    return found.value or {}


def _compose(text: str) -> yaml.MappingNode | None:
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    return node if isinstance(node, yaml.MappingNode) else None


def _under(root: yaml.MappingNode | None, key: str) -> yaml.Node | None:
    found = [value for name, value in (root.value if root else []) if name.value == key]
    return found[0] if found else None


def _emptied(text: str, key: str) -> str:
    """`accounts:` with nothing behind it becomes `accounts: []`."""
    return re.sub(rf"(?m)^({re.escape(key)}:)[ \t]*(#.*)?$", r"\1 []  \2", text, count=1).replace(
        "[]  \n", "[]\n"
    )


# --- where to insert ----------------------------------------------------------------------


def _into_flow(
    text: str, root: yaml.MappingNode, node: yaml.Node | None, key: str, item: Item
) -> str:
    """A file that is one pair of braces: JSON, for one."""
    if isinstance(node, yaml.SequenceNode):
        return _into_list(text, node, item)
    at = root.end_mark.index - 1
    comma = ", " if root.value else ""
    head = text[:at].rstrip()
    return f"{head}{comma}{json.dumps(key)}: [{json.dumps(item)}]{text[at:]}"


def _into_list(text: str, node: yaml.SequenceNode, item: Item) -> str:
    at = node.end_mark.index - 1
    comma = ", " if node.value else ""
    head = text[:at].rstrip().removesuffix(",")
    return f"{head}{comma}{json.dumps(item, ensure_ascii=False)}{text[at:]}"


def _last(node: yaml.Node, text: str) -> int:
    """Where the last thing that belongs to a node ends. Aliases stand elsewhere: marks outside of
    the node do not count."""
    inside = range(node.start_mark.index, node.end_mark.index + 1)
    return max(end for end in _ends(node, text) if end in inside)


def _ends(node: yaml.Node, text: str) -> Iterator[int]:
    waiting = [node]
    while waiting:
        each = waiting.pop()
        if isinstance(each, yaml.CollectionNode) and not each.flow_style:
            for child in each.value:
                waiting += child if isinstance(child, tuple) else [child]
            yield each.start_mark.index
        elif isinstance(each, yaml.ScalarNode) and each.style in ("|", ">"):
            yield len(text[: each.end_mark.index].rstrip())
        else:
            yield each.end_mark.index


def _end_of_line(text: str, at: int) -> int:
    found = text.find("\n", at)
    return len(text) if found < 0 else found + 1


# --- how it is written --------------------------------------------------------------------


def _block(item: Item, indent: int) -> str:
    lines = _mapping(item, indent + 2)
    lines[0] = f"{' ' * indent}- {lines[0].lstrip()}"
    return "".join(f"{line}\n" for line in lines)


def _mapping(item: Item, indent: int) -> list[str]:
    lines = []
    for key, value in item.items():
        if isinstance(value, Mapping):
            lines.append(f"{' ' * indent}{key}:")
            lines += _mapping(value, indent + 2)
        elif not isinstance(value, str | int):
            listed = ", ".join(map(scalar, value))
            lines.append(f"{' ' * indent}{key}: [{listed}]")
        else:
            lines.append(f"{' ' * indent}{key}: {scalar(value)}")
    return lines


def scalar(value: str | int | bool) -> str:
    """A value as YAML that any reader takes for this text."""
    text = _string(value)
    if not isinstance(value, str) or (
        _PLAIN.fullmatch(text) and text.lower() not in _WORDS and not text[0].isdigit()
    ):
        return text
    if text.isprintable():
        return "'" + text.replace("'", "''") + "'"
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(character: str) -> str:
    """YAML 1.2 5.7; a surrogate pair, as JSON has it, is none there."""
    if character in '"\\':
        return "\\" + character
    return character if character.isprintable() else f"\\U{ord(character):08x}"


def _string(value: str | int | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _strings(item: Item) -> dict[str, Value]:
    """The item as the file's reader gives it: every scalar is text."""
    return {
        key: _strings(value)
        if isinstance(value, Mapping)
        else _string(value)
        if isinstance(value, str | int)
        else list(value)
        for key, value in item.items()
    }
