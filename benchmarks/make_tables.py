"""Write the rows of all result files into the tables of ``README.md``.

    python benchmarks/make_tables.py [--check]

A generated part is between ``<!-- rows -->`` and ``<!-- end -->``; a file such as
``results/decode.md`` goes between ``<!-- results/decode.md -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PAGE = HERE / "README.md"
PART = re.compile(r"(<!-- (rows|results/\w+\.md) -->\n).*?(<!-- end -->)", re.DOTALL)
HEAD = (
    "| what | ours | peer | ratio | target | met | why, or remark | measured |\n"
    "|---|--:|--:|--:|--:|---|---|---|\n"
)
MET = {True: "yes", False: "**no**", None: ""}


def main() -> None:
    """Write, or check."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; status 1 if stale")
    args = parser.parse_args()
    old = PAGE.read_text(encoding="utf-8")
    new = render(old, HERE)
    if args.check and new != old:
        raise SystemExit(f"{PAGE} is stale: run python benchmarks/make_tables.py")
    PAGE.write_text(new, encoding="utf-8")


def render(page: str, folder: Path) -> str:
    """Fill the generated parts of a page.

    Args:
        page: Markdown.
        folder: Where ``results/`` is.

    Returns:
        The page with the present results.
    """

    def fill(found: re.Match[str]) -> str:
        source = found[2]
        if source == "rows":
            return f"{found[1]}{table(folder / 'results')}{found[3]}"
        path = folder / source
        text = path.read_text(encoding="utf-8") if path.exists() else "Not measured yet.\n"
        return f"{found[1]}{text}{found[3]}"

    return PART.sub(fill, page)


def table(results: Path) -> str:
    """Make the table of the rows of all result files, in the order of their names."""
    lines = []
    for path in sorted(results.glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        machine = content.get("environment", {})
        where = f"[{path.stem}](results/{path.name}), {machine.get('date', '')[:10]}"
        if machine.get("quiet") is False:
            where += ", busy machine"
        lines += [_line(row, where) for row in content.get("rows", []) if "what" in row]
    return HEAD + "".join(lines)


def _line(row: dict[str, Any], where: str) -> str:
    peer = "" if row["peer"] is None else f"{row['peer']:g} ({row['peer_name']})"
    ours = "" if row["ours"] is None else f"{row['ours']:g} {row['unit']}"
    ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}x"
    fields = (row["what"], ours, peer, ratio, row["target"], MET[row["met"]], row["why"], where)
    return f"| {' | '.join(field.replace('|', '/') for field in fields)} |\n"


if __name__ == "__main__":
    main()
