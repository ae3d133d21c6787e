#!/usr/bin/env python3
"""Compares every #include "room/..." and every link list with the table of rooms in docs/architecture.md."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def read_table():
    """{room: rooms it may include} from the first table whose header is `| room | may include |`."""
    allowed = {}
    inside = False
    for line in (ROOT / "docs/architecture.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if cells[:2] == ["room", "may include"]:
            inside = True
        elif inside and not line.startswith("|"):
            break
        elif inside and not set(line) <= set("|- "):
            for room in cells[0].split(", "):
                allowed[room] = set(cells[1].split(", ")) - {"–"}
    return allowed


def violations(allowed):
    for path in sorted((ROOT / "src").rglob("*")):
        if path.suffix not in {".h", ".cc"}:
            continue
        room = path.relative_to(ROOT / "src").parts[0]
        for number, line in enumerate(path.read_text().splitlines(), 1):
            match = re.match(r'\s*#include "([a-z_]+)/', line)
            if not match or match[1] == room or "everything" in allowed[room]:
                continue
            if match[1] not in allowed[room]:
                yield f"{path.relative_to(ROOT)}:{number}: {room} may not include {match[1]}"
    for room, rooms in allowed.items():
        lists = ROOT / "src" / room / "CMakeLists.txt"
        if not lists.exists() or "everything" in rooms:
            continue
        linked = set(re.findall(r"isotope_([a-z]+)\b", lists.read_text().split("TEST_LINKS")[0]))
        for extra in sorted(linked - rooms - {"room", "embed", "fmt", "boost", room}):
            yield f"src/{room}/CMakeLists.txt: {room} may not link {extra}"


def main():
    allowed = read_table()
    if not allowed:
        sys.exit("docs/architecture.md has no table of rooms")
    found = list(violations(allowed))
    for line in found:
        print(line)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
