"""Draw the flow from the synthesized definition: ``python -m infra.diagram`` writes docs/flow.svg.

Each way to wait, to fail and to retry would hide the flow: a loop is drawn as one box, an arrow to a failure not at
all. What is drawn is what the template holds; nothing is drawn by hand but the two ends outside the state machine.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from infra.definition import state_machine_definition, successors

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "flow.svg"

_TASK, _WAITING, _FAILURE = "#e7f0fa", "#fdf3dc", "#fbe6e4"
# @viz-js/viz is Graphviz compiled to WebAssembly: nothing to install but npm packages.
_RENDER = """
const { instance } = require("@viz-js/viz");
const dot = require("fs").readFileSync(0, "utf8");
instance().then((viz) => process.stdout.write(viz.renderString(dot, { format: "svg" })));
"""


def main() -> None:
    """Read ``cdk.out``'s template, or the one given, and write the picture."""
    template = Path(sys.argv[1]) if len(sys.argv) > 1 else next((ROOT / "cdk.out").glob("*.template.json"))
    PICTURE.write_text(draw(json.loads(template.read_text())))


def draw(template: Mapping[str, Any]) -> str:
    """Return the picture of a template's state machine as SVG."""
    dot = to_dot(state_machine_definition(template))
    finished = subprocess.run(["node", "-e", _RENDER], input=dot, cwd=ROOT, capture_output=True, text=True, check=True)
    return finished.stdout


def to_dot(definition: Mapping[str, Any]) -> str:
    """Return the flow in Graphviz's language."""
    lines = [
        "digraph flow {",
        '  graph [fontname="Helvetica", fontsize=12, rankdir=TB, compound=true, nodesep=0.3, ranksep=0.35]',
        f'  node [fontname="Helvetica", fontsize=11, shape=box, style="rounded,filled", fillcolor="{_TASK}",'
        ' color="#5b7083", height=0.36, margin="0.14,0.05"]',
        '  edge [fontname="Helvetica", fontsize=10, color="#5b7083", arrowsize=0.7]',
        '  upload [label="a CSV lands in s3://…/incoming/", shape=note, fillcolor=white]',
        '  result [label="labeled counties, segments, report", shape=note, fillcolor=white]',
    ]
    flow = _Flow()
    lines += flow.machine(definition, "")
    lines.append(f"  upload -> {flow.entry(definition['StartAt'], definition)}")
    lines += [f"  {flow.leave(name, definition)} -> result" for name in _ends(definition)]
    lines.append('  trouble [label="anything fails, in any phase", shape=note, fillcolor=white]')
    lines.append(f"  trouble -> {flow.entry('CleanUp', definition)} [lhead=cluster_CleanUp]")
    return "\n".join([*lines, *flow.edges, "}"])


class _Flow:
    """Collects boxes and arrows; a Parallel and a Map become a frame around their own states."""

    def __init__(self) -> None:
        self.edges: list[str] = []

    def machine(self, machine: Mapping[str, Any], indent: str) -> list[str]:
        lines: list[str] = []
        for name in _drawn(machine):
            state = machine["States"][name]
            inner = state.get("Branches", [state["ItemProcessor"]] if "ItemProcessor" in state else [])
            if inner:
                lines += [f"  {indent}subgraph cluster_{name} {{", f"  {indent}  {_frame(name, state)}"]
                for branch in inner:
                    lines += self.machine(branch, indent + "  ")
                lines.append(f"  {indent}}}")
            else:
                lines.append(
                    f'  {indent}{name} [label="{_label(name, machine)}", fillcolor="{_colour(name, machine)}"]'
                )
            for following in _following(name, machine):
                self.edges.append(self._arrow(name, following, machine))
        return lines

    def entry(self, name: str, machine: Mapping[str, Any]) -> str:
        """Return a box inside `name` to point an arrow at."""
        state = machine["States"][name]
        if "Branches" in state:
            return self.entry(_first(state["Branches"][0]), state["Branches"][0])
        if "ItemProcessor" in state:
            return self.entry(_first(state["ItemProcessor"]), state["ItemProcessor"])
        return name

    def leave(self, name: str, machine: Mapping[str, Any]) -> str:
        """Return a box inside `name` to let an arrow start from."""
        state = machine["States"][name]
        inner = state.get("Branches", [state["ItemProcessor"]] if "ItemProcessor" in state else [])
        return self.leave(_ends(inner[0])[-1], inner[0]) if inner else name

    def _arrow(self, name: str, following: str, machine: Mapping[str, Any]) -> str:
        ends = {"ltail": name, "lhead": following}
        framed = {
            end: f"cluster_{each}"
            for end, each in ends.items()
            if machine["States"][each]["Type"] in ("Parallel", "Map")
        }
        attributes = ", ".join(f"{end}={cluster}" for end, cluster in framed.items())
        return f"  {self.leave(name, machine)} -> {self.entry(following, machine)} [{attributes}]"


def _is_detail(name: str, state: Mapping[str, Any]) -> bool:
    """Whether a state is part of a loop or of a failure's way: not drawn as a box of its own."""
    return state["Type"] in ("Choice", "Wait", "Pass", "Fail", "Succeed") or name.startswith("Describe")


def _drawn(machine: Mapping[str, Any]) -> list[str]:
    """Return the states to draw, in the flow's order."""
    order = dict.fromkeys(_walk(machine, machine["StartAt"], set()))
    return [name for name in order if not _is_detail(name, machine["States"][name])]


def _walk(machine: Mapping[str, Any], name: str, seen: set[str]) -> Iterator[str]:
    if name in seen:
        return
    seen.add(name)
    yield name
    for following in successors(machine["States"][name]):
        yield from _walk(machine, following, seen)


def _following(name: str, machine: Mapping[str, Any]) -> list[str]:
    """Return the drawn states that follow one, through those that aren't drawn; a failure's way only once."""
    state = machine["States"][name]
    found: dict[str, None] = {}
    waiting = successors({key: value for key, value in state.items() if key != "Catch"})
    seen = {name}
    while waiting:
        each = waiting.pop(0)
        if each in seen:
            continue
        seen.add(each)
        if _is_detail(each, machine["States"][each]):
            waiting += successors(machine["States"][each])
        else:
            found[each] = None
    return [each for each in found if not _goes_back(name, each, machine)]


def _goes_back(name: str, following: str, machine: Mapping[str, Any]) -> bool:
    order = _drawn(machine)
    return order.index(following) < order.index(name)


def _first(machine: Mapping[str, Any]) -> str:
    return _drawn(machine)[0]


def _ends(machine: Mapping[str, Any]) -> list[str]:
    """Return the drawn states after which a machine has succeeded."""
    return [name for name in _drawn(machine) if _succeeds(name, machine)]


def _succeeds(name: str, machine: Mapping[str, Any]) -> bool:
    """Whether the machine may end after a state without a word of failure."""
    if _following(name, machine):
        return False
    following = successors({key: value for key, value in machine["States"][name].items() if key != "Catch"})
    return "Resume" not in following


def _label(name: str, machine: Mapping[str, Any]) -> str:
    """Return a box's words: the state's name, and that it is waited for."""
    if name == "RecordFailure":
        return f"{name}\\nthe run ends with the first error;\\na redrive resumes it at its phase"
    if not _waits(name, machine):
        return name
    return f"{name}\\nask until it is {'gone' if name.startswith('TearDown') else 'ready'}"


def _waits(name: str, machine: Mapping[str, Any]) -> bool:
    wanted = name.removeprefix("Launch")
    return f"WaitFor{wanted}" in machine["States"]


def _colour(name: str, machine: Mapping[str, Any]) -> str:
    if name == "RecordFailure" or "Failed" in name:
        return _FAILURE
    return _WAITING if _waits(name, machine) else _TASK


def _frame(name: str, state: Mapping[str, Any]) -> str:
    if state["Type"] == "Map":
        label = f"{name}: every shard, {state['MaxConcurrency']} at a time"
    elif name == "CleanUp":
        label = "CleanUp: both models, side by side"
    else:
        label = f"{name}" + (": side by side" if len(state["Branches"]) > 1 else "")
    return f'label="{label}"; labeljust=l; style=rounded; color="#9fb0bf"'


if __name__ == "__main__":
    main()
