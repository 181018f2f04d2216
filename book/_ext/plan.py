"""The plan of the library, drawn from what its modules import."""

from __future__ import annotations

import ast
from itertools import pairwise
from pathlib import Path

PLACE = {  # room -> (middle, floor); imports must run to lower floors
    "cli": (430, 0),
    "experiments": (300, 1),
    "flows": (80, 2),
    "argnn": (255, 2),
    "dynamics": (465, 2),
    "pruning": (190, 3),
    "training": (80, 4),
    "graphs": (280, 4),
    "limits": (450, 4),
    "study": (620, 4),
}
ABOUT = {
    "cli": "the command flowprune",
    "experiments": "what a trial is",
    "flows": "one equation, one class",
    "dynamics": "energy, spectra",
    "argnn": "asynchronous networks",
    "pruning": "rules that remove edges",
    "limits": "graphons, kernels",
    "training": "the replica axis, fit",
    "graphs": "one Graph, data sets",
    "study": "trials, claims, book",
}
WIDTH, HEIGHT, ROOM, TALL = 700, 490, 150, 54


def imports(package: Path) -> set[tuple[str, str]]:
    """Pairs of rooms (importing, imported), read from the modules of the package."""
    found = set()
    for file in package.rglob("*.py"):
        inside = file.relative_to(package)
        room = inside.parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(file.read_text())):
            for name in _names(node, ("flowprune", *inside.parts[:-1])):
                target = name.split(".")[1:2]
                if target and target[0] in ABOUT and room in ABOUT and target[0] != room:
                    found.add((room, target[0]))
    return found


def _names(node: ast.AST, here: tuple[str, ...]) -> list[str]:
    """Full names of the modules that an import statement in the package ``here`` may mean."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names if alias.name.startswith("flowprune")]
    if isinstance(node, ast.ImportFrom):
        base = ".".join(here[: len(here) - node.level + 1]) if node.level else ""
        module = ".".join(part for part in (base, node.module) if part)
        return [f"{module}.{alias.name}" for alias in node.names] if module.startswith("flowprune") else []
    return []


def svg(package: Path) -> str:
    """The rooms on their floors with an arrow for each import between rooms, as one accessible picture."""
    place = {room: (x, 12 + floor * (HEIGHT - 24 - TALL) / 4) for room, (x, floor) in PLACE.items()}
    arrows = sorted(imports(package))
    shapes = [_arrow(place[a], place[b], list(place.values())) for a, b in arrows]
    shapes += [_room(room, *at) for room, at in place.items()]
    told = "; ".join(f"{a} imports {b}" for a, b in arrows)
    marker = (
        '<marker id="fp-head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto">'
        '<path d="M0 0 L8 4 L0 8 z"/></marker>'
    )
    return (
        f'```{{raw}} html\n<svg class="fp-plan" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-labelledby="fp-plan-title">'
        f'<title id="fp-plan-title">The rooms of the library on five floors: {told}.'
        f"</title><defs>{marker}</defs>{''.join(shapes)}</svg>\n```\n"
    )


def _room(room: str, x: float, y: float) -> str:
    return (
        f'<rect x="{x - ROOM / 2:.0f}" y="{y:.0f}" width="{ROOM}" height="{TALL}" rx="6"/>'
        f'<text x="{x:.0f}" y="{y + 23:.0f}">{room}</text>'
        f'<text class="small" x="{x:.0f}" y="{y + 41:.0f}">{ABOUT[room]}</text>'
    )


def _arrow(start: tuple[float, float], end: tuple[float, float], rooms: list[tuple[float, float]]) -> str:
    """From the lower edge of one room to the upper edge of another; between rooms on the floors that lie between."""
    (x, y), (u, v) = start, end
    floors = sorted({floor for _, floor in rooms if y < floor < v})
    ways = [(_free(x + (u - x) * (f - y) / (v - y), [m for m, g in rooms if g == f]), f) for f in floors]
    stops = [(x, y), *ways, (u, v)]
    path = []
    for k, ((a, above), (b, below)) in enumerate(pairwise(stops)):
        left = a + _lean(b - a) if k == 0 else a
        into = b - _lean(b - a) if b == u and below == v else b
        path.append(f"{'M' if k == 0 else 'L'}{left:.0f} {above + TALL:.0f}")
        path.append(f"C{left:.0f} {above + TALL + 30:.0f} {into:.0f} {below - 30:.0f} {into:.0f} {below:.0f}")
    return f'<path marker-end="url(#fp-head)" d="{" ".join(path)}"/>'


def _lean(across: float) -> float:
    """How far from the middle of a room an arrow leaves or arrives that has to go so far across."""
    return max(-60, min(60, across / 2.5))


def _free(x: float, middles: list[float]) -> float:
    """The place nearest to x on a floor that has no room and keeps a little away from those beside it."""
    away = ROOM / 2 + 8
    edges = [x] + [middle + side * away for middle in middles for side in (-1, 1)]
    return min((e for e in edges if all(abs(e - m) >= away for m in middles)), key=lambda e: abs(e - x))
