"""Which config keys the source code reads: found in its syntax trees, or recorded while it runs.

In the syntax trees, a read is an attribute or a constant subscript of a config section
(``cfg.DATA.MEAN``, ``cfg.DATA["MEAN"]``), also through a local name (``data = cfg.DATA``), or
through any other name if only one section has a key of that name (``solver.BASE_LR``). Checks
(``@register_check``, and the private functions that only checks use) do not count: they refuse
values, they do not use them.
"""

import ast
import re
from contextlib import contextmanager
from pathlib import Path

from slowfast.config import CfgNode

_KEY = re.compile(r"[A-Z][A-Z0-9_x]*")


@contextmanager
def recorded_reads(cfg):
    """The keys of a configuration that are read inside the block, as a set that fills up."""
    names, found = {}, set()

    def name_nodes(node, prefix):
        names[id(node)] = prefix
        for key, value in node.items():
            if isinstance(value, CfgNode):
                name_nodes(value, f"{prefix}{key}.")

    def record(node, key):
        value = dict.__getitem__(node, key)
        if id(node) in names and not isinstance(value, CfgNode):
            found.add(names[id(node)] + key)
        return value

    name_nodes(cfg, "")
    CfgNode.__getitem__ = record
    try:
        yield found
    finally:
        del CfgNode.__getitem__


def read_keys(folders, keys):
    """The keys (dotted) that Python files in the folders read, outside of checks."""
    sections = {key.rpartition(".")[0] for key in keys} - {""}
    owners = {}
    for key in keys:
        section, _, leaf = key.rpartition(".")
        owners.setdefault(leaf, []).append(section)
    found = set()
    for folder in folders:
        for path in sorted(Path(folder).rglob("*.py")):
            if "sections" not in path.parts:
                tree = ast.parse(path.read_text(encoding="utf-8"))
                found |= _reads_of(tree, set(keys), sections, owners)
    return found


def _reads_of(tree, keys, sections, owners):
    skipped = _check_functions(tree)
    aliases = _aliases(tree, sections)
    found = set()
    for node in _walk(tree, skipped):
        name, base = _access(node)
        if name is None:
            continue
        section = _section(base, sections, aliases)
        if section is not None:
            key = f"{section}.{name}" if section else name
            found |= {key} & keys
        elif owners.get(name, []) and len(owners[name]) == 1 and not _is_cfg(base):
            key = f"{owners[name][0]}.{name}" if owners[name][0] else name
            found |= {key} if owners[name][0] else set()
    return found


def _walk(tree, skipped):
    """Every expression that reads, outside of skipped functions."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef) and node in skipped:
            continue
        yield node
        yield from _walk(node, skipped)


def _access(node):
    """(name, base) of ``base.NAME`` or ``base["NAME"]`` that is read, if NAME looks like a key."""
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
        name = node.attr
    elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        name = node.slice.value
    else:
        return None, None
    is_key = isinstance(name, str) and _KEY.fullmatch(name)
    return (name, node.value) if is_key else (None, None)


def _is_cfg(base):
    last = base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "")
    return last.lower().endswith("cfg")


def _section(base, sections, aliases):
    """The dotted section that an expression denotes: "" for the root, None if it is none."""
    if isinstance(base, ast.Name) and base.id in aliases:
        return aliases[base.id]
    if _is_cfg(base):
        return ""
    name, outer = _access(base)
    if name is None:
        return None
    outer_section = _section(outer, sections, aliases)
    if outer_section is None:
        return name if name in sections else None
    dotted = f"{outer_section}.{name}" if outer_section else name
    return (
        dotted if dotted in sections or any(s.startswith(f"{dotted}.") for s in sections) else None
    )


def _aliases(tree, sections):
    """Local names of sections: ``data = cfg.DATA``, also in tuples."""
    found = {}
    for node in ast.walk(tree):
        pairs = []
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            pairs = [(node.targets[0], node.value)]
            if isinstance(node.targets[0], ast.Tuple) and isinstance(node.value, ast.Tuple):
                pairs = list(zip(node.targets[0].elts, node.value.elts, strict=False))
        for target, value in pairs:
            if isinstance(target, ast.Name):
                section = _section(value, sections, {})
                if section:
                    found[target.id] = section
    return found


def _check_functions(tree):
    """Functions registered as checks, and private ones that nothing but checks uses."""
    functions = {n.name: n for n in tree.body if isinstance(n, ast.FunctionDef)}
    checks = {
        name
        for name, node in functions.items()
        if any(getattr(d, "id", "") == "register_check" for d in node.decorator_list)
    }
    users = {name: set() for name in functions}
    for owner, node in [*functions.items(), *((None, n) for n in tree.body)]:
        if owner is None and isinstance(node, ast.FunctionDef):
            continue
        for name in {n.id for n in ast.walk(node) if isinstance(n, ast.Name)} & set(functions):
            if name != owner:
                users[name].add(owner)
    while True:
        more = {
            name
            for name, by in users.items()
            if name.startswith("_") and by and by <= checks and name not in checks
        }
        if not more:
            return {functions[name] for name in checks}
        checks |= more
