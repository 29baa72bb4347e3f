"""Draw the flow from the synthesized definition: ``python -m infra.diagram`` writes docs/flow.svg.

To keep the flow visible, a waiting loop is drawn as one box, and the arrows from every phase to the clean-up are drawn
as one. Everything else is read from the template, except for the notes at both ends, which stand outside the state
machine.
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

# Graphviz lays the picture out for a larger font than the one it is shown in, so that the labels stay inside their
# boxes whichever font a browser substitutes for Helvetica.
_LAYOUT_FONT_SIZE = 14
_STYLE = """<style>
text { font: 11px Helvetica, Arial, sans-serif; fill: #1b2733 }
.graph > polygon { fill: none }
.cluster path { fill: none; stroke: #9fb0bf }
.node path, .node polygon, .node polyline { stroke: #5b7083; fill: #e7f0fa }
.waiting path { fill: #fdf3dc }
.outside polygon, .outside polyline { fill: none }
.edge path { stroke: #2f6f9f; stroke-width: 1.6 }
.edge polygon { stroke: #2f6f9f; fill: #2f6f9f }
.failure path, .failure polygon, .failure polyline { stroke: #b3372b }
.node.failure path { fill: #fbe6e4 }
.edge.failure path { stroke-dasharray: 5 3 }
.edge.failure polygon { fill: #b3372b }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .cluster path { stroke: #5b7083 }
  .node path, .node polygon, .node polyline { stroke: #8aa2b8; fill: #1f3347 }
  .waiting path { fill: #4a3b14 }
  .edge path { stroke: #6cb2e6 }
  .edge polygon { stroke: #6cb2e6; fill: #6cb2e6 }
  .outside polygon, .outside polyline { fill: none }
  .failure path, .failure polygon, .failure polyline { stroke: #ff8b7e }
  .node.failure path { fill: #4a1f1b }
  .edge.failure polygon { fill: #ff8b7e }
}
</style>"""
# @viz-js/viz is Graphviz compiled to WebAssembly, so only an npm package has to be installed.
_RENDER = """
const { instance } = require("@viz-js/viz");
const dot = require("fs").readFileSync(0, "utf8");
instance().then((viz) => process.stdout.write(viz.renderString(dot, { format: "svg" })));
"""


def main() -> None:
    """Read the template in ``cdk.out``, or the given one, and write the diagram."""
    template = Path(sys.argv[1]) if len(sys.argv) > 1 else next((ROOT / "cdk.out").glob("*.template.json"))
    PICTURE.write_text(draw(json.loads(template.read_text())))


def draw(template: Mapping[str, Any]) -> str:
    """Return the diagram of a template's state machine as SVG."""
    dot = to_dot(state_machine_definition(template))
    finished = subprocess.run(["node", "-e", _RENDER], input=dot, cwd=ROOT, capture_output=True, text=True, check=True)
    head, tag, body = finished.stdout.partition('<g id="graph0"')
    return f"{head}{_STYLE}\n{tag}{body}"


def to_dot(definition: Mapping[str, Any]) -> str:
    """Return the flow in Graphviz's language."""
    lines = [
        "digraph flow {",
        "  graph [rankdir=TB, compound=true, nodesep=0.3, ranksep=0.35]",
        f'  graph [fontname="Helvetica", fontsize={_LAYOUT_FONT_SIZE}]',
        f'  node [fontname="Helvetica", fontsize={_LAYOUT_FONT_SIZE}, shape=box, style="rounded,filled", height=0.36]',
        "  edge [arrowsize=0.7]",
        '  upload [label="a CSV lands in s3://…/incoming/", shape=note, class=outside]',
        '  result [label="labeled counties, segments, report", shape=note, class=outside]',
    ]
    flow = _Flow()
    lines += flow.machine(definition, "")
    lines.append(f"  upload -> {flow.entry(definition['StartAt'], definition)}")
    lines += [f"  {flow.leave(name, definition)} -> result" for name in _ends(definition)]
    lines.append('  failure [label="any phase fails", shape=note, class="outside failure"]')
    lines.append(f"  failure -> {flow.entry('CleanUp', definition)} [lhead=cluster_CleanUp, class=failure]")
    return "\n".join([*lines, *flow.edges, "}"])


class _Flow:
    """Collects boxes and arrows. A Parallel or a Map becomes a frame around its own states."""

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
                lines.append(f'  {indent}{name} [label="{_label(name, machine)}", class={_kind(name, machine)}]')
            for following in _following(name, machine):
                self.edges.append(self._arrow(name, following, machine))
        return lines

    def entry(self, name: str, machine: Mapping[str, Any]) -> str:
        """Return a box inside the frame `name` at which an arrow to the frame ends."""
        state = machine["States"][name]
        if "Branches" in state:
            return self.entry(_first(state["Branches"][0]), state["Branches"][0])
        if "ItemProcessor" in state:
            return self.entry(_first(state["ItemProcessor"]), state["ItemProcessor"])
        return name

    def leave(self, name: str, machine: Mapping[str, Any]) -> str:
        """Return a box inside the frame `name` at which an arrow from the frame starts."""
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
        tail = self.leave(name, machine)
        attributes = {**framed, "class": "failure" if tail == "RecordFailure" or "Failed" in tail else "success"}
        listed = ", ".join(f"{attribute}={value}" for attribute, value in attributes.items())
        return f"  {tail} -> {self.entry(following, machine)} [{listed}]"


def _is_detail(name: str, state: Mapping[str, Any]) -> bool:
    """Whether a state belongs to a waiting loop or only passes data on, so that it gets no box of its own."""
    return state["Type"] in ("Choice", "Wait", "Pass", "Fail", "Succeed") or name.startswith("Describe")


def _drawn(machine: Mapping[str, Any]) -> list[str]:
    """Return the states to draw, in the order of the flow."""
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
    """Return the drawn states that follow `name`, looking through states without a box; catches are left out."""
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
    """Whether the machine succeeds after this state."""
    if _following(name, machine):
        return False
    following = successors({key: value for key, value in machine["States"][name].items() if key != "Catch"})
    return "Resume" not in following


def _label(name: str, machine: Mapping[str, Any]) -> str:
    """Return a box's label: the state's name, and whether the state machine waits for what it launches."""
    if name == "RecordFailure":
        return f"{name}\\nends the run with the first error;\\na redrive resumes at the failed phase"
    if not _waits(name, machine):
        return name
    return f"{name}\\nand wait until it is {'gone' if name.startswith('TearDown') else 'ready'}"


def _waits(name: str, machine: Mapping[str, Any]) -> bool:
    wanted = name.removeprefix("Launch")
    return f"WaitFor{wanted}" in machine["States"]


def _kind(name: str, machine: Mapping[str, Any]) -> str:
    """Return the class that a box is coloured by."""
    if name == "RecordFailure" or "Failed" in name:
        return "failure"
    return "waiting" if _waits(name, machine) else "task"


def _frame(name: str, state: Mapping[str, Any]) -> str:
    if state["Type"] == "Map":
        label = f"{name}: every shard, {state['MaxConcurrency']} at a time"
    elif name == "CleanUp":
        label = "CleanUp: both models, side by side"
    else:
        label = f"{name}" + (": side by side" if len(state["Branches"]) > 1 else "")
    return f'label="{label}"; labeljust=l; style=rounded'


if __name__ == "__main__":
    main()
