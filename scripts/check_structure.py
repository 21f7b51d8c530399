#!/usr/bin/env python3
"""check_structure.py - the shape of src/: no function of more than 60 lines, no circle of includes between files or between
rooms, no room that includes another than src/README.md allows it, and no internal.h that is included from elsewhere. Ends
with 1 and names what is wrong."""
import collections
import os
import re
import sys

MOST_LINES = 60
ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
SOURCE = os.path.join(ROOT, "src")


def sources():
    for folder, _, names in sorted(os.walk(SOURCE)):
        for name in sorted(names):
            if name.endswith((".c", ".h", ".cpp")):
                yield os.path.join(folder, name)


def long_functions(path, lines):
    """A function ends with a brace in the first column; it begins behind the last such line, blank line or directive."""
    start, faults = None, []
    for number, line in enumerate(lines, 1):
        if start is None and re.match(r"[A-Za-z_].*\)[^;]*\{\s*$", line):
            start = number
        elif start is None and re.match(r"[ \t]+.*\)\s*\{\s*$", line):
            back = number - 1  # the parameters go over several lines
            while back > 0 and re.match(r"[ \t]", lines[back - 1]):
                back -= 1
            if back > 0 and re.match(r"[A-Za-z_].*[(,]", lines[back - 1]):
                start = back
        if line.startswith("}"):
            if start is not None and number - start + 1 > MOST_LINES:
                faults.append(f"{path}:{start}: a function of {number - start + 1} lines, at most {MOST_LINES} are allowed")
            start = None
    return faults


def room_of(unit):
    folder = os.path.dirname(unit)
    return "platform" if folder.startswith("platform") else folder


def includes():
    """Units are files without their ending: a header and its source are one."""
    units, graph, faults = {}, collections.defaultdict(set), []
    for path in sources():
        units[path] = os.path.splitext(os.path.relpath(path, SOURCE))[0]
    for path, unit in units.items():
        with open(path, encoding="utf-8") as file:
            text = file.read()
        faults += long_functions(os.path.relpath(path, ROOT), text.split("\n"))
        for found in re.findall(r'^#include "([^"]+)"', text, re.M):
            other = units.get(os.path.normpath(os.path.join(os.path.dirname(path), found)))
            if other and other != unit:
                graph[unit].add(other)
            if other and os.path.basename(other) == "internal" and os.path.dirname(other) != os.path.dirname(unit):
                faults.append(f"src/{unit} includes {other}.h, which is for the files beside it alone")
    return graph, faults


def circles(graph):
    """Tarjan's strongly connected components of more than one node."""
    index, low, stack, found = {}, {}, [], []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(graph.get(node, ())):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            at = stack.index(node)
            component = stack[at:]
            del stack[at:]
            if len(component) > 1:
                found.append(sorted(component))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return found


def allowed_rooms():
    with open(os.path.join(SOURCE, "README.md"), encoding="utf-8") as file:
        rows = re.findall(r"^\| `([\w/]+)/` \|.*\|([^|]*)\|$", file.read(), re.M)
    return {room: set(re.findall(r"`([\w/]+)`", may)) for room, may in rows}


def main():
    graph, faults = includes()
    rooms = collections.defaultdict(set)
    for unit, others in graph.items():
        for other in others:
            if room_of(other) != room_of(unit):
                rooms[room_of(unit)].add(room_of(other))
    faults += [f"a circle of includes: {', '.join(circle)}" for circle in circles(graph) + circles(rooms)]
    allowed = allowed_rooms()
    for room in sorted({room_of(unit) for unit in graph} | set(rooms)):
        if room not in allowed:
            faults.append(f"src/README.md has no row for {room}/")
        for other in sorted(rooms.get(room, set()) - allowed.get(room, set())):
            faults.append(f"src/{room}/ includes src/{other}/, which src/README.md does not allow")
    for fault in faults:
        print(fault)
    print(f"{len(graph)} files, {len(allowed)} rooms: {'wrong' if faults else 'in order'}")
    return 1 if faults else 0


sys.exit(main())
