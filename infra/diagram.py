"""Draw the flow from the synthesized definition: ``python -m infra.diagram`` writes docs/flow.svg.

To keep the flow visible, a waiting loop is drawn as one box, and the arrows from every phase to the clean-up are drawn
as one, from the frame around the phases. Everything else is read from the template, except for the notes, which stand
outside the state machine.
"""

import html
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from infra.definition import state_machine_definition, successors

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "flow.svg"

_FONT_SIZE = 12
_FRAME_OF_A_PATH = 'fontname="Helvetica-Bold"; labeljust=l; style=rounded'
# The success path is green with solid lines, the failure path red with dashed lines. The picture has a background of
# its own, because a page can be dark where the system is light.
_STYLE = """<style>
svg { background: #ffffff }
text { font: 12px Helvetica, Arial, sans-serif; fill: #1b2733 }
.graph > polygon { fill: #ffffff }
.cluster path { fill: none; stroke: #9fb0bf }
.node path, .node polygon, .node polyline { stroke: #5b7083; fill: #e7f0fa }
.node.waiting path { fill: #fdf3dc }
.node.success polygon { fill: #dff3e4 }
.node.failure path, .node.failure polygon { fill: #fbe6e4 }
.success path, .success polygon, .success polyline { stroke: #1a7f37 }
.failure path, .failure polygon, .failure polyline { stroke: #b3372b }
.cluster.success text { fill: #1a7f37; font-weight: bold }
.cluster.failure text { fill: #b3372b; font-weight: bold }
.cluster.success path, .cluster.failure path, .edge path { stroke-width: 1.8 }
.edge.success polygon { fill: #1a7f37 }
.edge.failure polygon, .edge.failure text { fill: #b3372b }
.cluster.failure path, .edge.failure path { stroke-dasharray: 6 3 }
@media (prefers-color-scheme: dark) {
  svg { background: #0d1117 }
  text { fill: #e6edf3 }
  .graph > polygon { fill: #0d1117 }
  .cluster path { stroke: #5b7083 }
  .node path, .node polygon, .node polyline { stroke: #8aa2b8; fill: #1f3347 }
  .node.waiting path { fill: #4a3b14 }
  .node.success polygon { fill: #12361d }
  .node.failure path, .node.failure polygon { fill: #4a1f1b }
  .success path, .success polygon, .success polyline { stroke: #57c274 }
  .failure path, .failure polygon, .failure polyline { stroke: #ff8b7e }
  .cluster.success text, .edge.success polygon { fill: #57c274 }
  .cluster.failure text, .edge.failure polygon, .edge.failure text { fill: #ff8b7e }
}
</style>"""
# @viz-js/viz is Graphviz compiled to WebAssembly, so only an npm package has to be installed.
_RENDER = """
const { instance } = require("@viz-js/viz");
const dot = require("fs").readFileSync(0, "utf8");
instance().then((viz) => {
  const [svg, layout] = ["svg", "json"].map((format) => viz.renderString(dot, { format }));
  process.stdout.write(JSON.stringify({ svg, layout: JSON.parse(layout) }));
});
"""


def main() -> None:
    """Read the template in ``cdk.out``, or the given one, and write the diagram."""
    template = Path(sys.argv[1]) if len(sys.argv) > 1 else next((ROOT / "cdk.out").glob("*.template.json"))
    PICTURE.write_text(draw(json.loads(template.read_text())))


def draw(template: Mapping[str, Any]) -> str:
    """Return the diagram of a template's state machine as SVG."""
    dot = to_dot(state_machine_definition(template))
    finished = subprocess.run(["node", "-e", _RENDER], input=dot, cwd=ROOT, capture_output=True, text=True, check=True)
    rendered = json.loads(finished.stdout)
    head, tag, body = _fit_texts(rendered["svg"], rendered["layout"]).partition('<g id="graph0"')
    return f"{head}{_STYLE}\n{tag}{body}"


def _fit_texts(svg: str, layout: Mapping[str, Any]) -> str:
    """Give every text the width that Graphviz reserved for it.

    Graphviz reserves the width of the text in Helvetica. A browser that has another font scales the text to that width
    (https://www.w3.org/TR/SVG2/text.html#TextElementTextLengthAttribute), so that it stays inside its box.
    """
    drawn = [layout, *layout["objects"], *layout["edges"]]
    operations = [operation for each in drawn for operation in each.get("_ldraw_", ())]
    widths = {operation["text"]: operation["width"] for operation in operations if operation["op"] == "T"}

    def fitted(match: re.Match[str]) -> str:
        width = widths[html.unescape(match[2])]
        return f'<text textLength="{width:g}" lengthAdjust="spacingAndGlyphs"{match[1]}>{match[2]}</text>'

    return re.sub(r"<text([^>]*)>([^<]*)</text>", fitted, svg)


def to_dot(definition: Mapping[str, Any]) -> str:
    """Return the flow in Graphviz's language: the success path in one frame, and the failure path beside it."""
    flow = _Flow()
    start, phases = definition["StartAt"], _reached_without_error(definition)
    after_failure = [name for name in _drawn(definition) if name not in phases]
    clean_up, record = after_failure[0], after_failure[-1]
    lines = [
        "digraph flow {",
        "  graph [rankdir=TB, compound=true, nodesep=0.3, ranksep=0.35]",
        f'  graph [fontname="Helvetica", fontsize={_FONT_SIZE}]',
        f'  node [fontname="Helvetica", fontsize={_FONT_SIZE}, shape=box, style="rounded,filled", height=0.36]',
        f'  edge [fontname="Helvetica", fontsize={_FONT_SIZE}, arrowsize=0.8]',
        '  upload [label="a CSV lands in s3://…/incoming/", shape=note, class=success]',
        '  result [label="labeled counties, segments, report", shape=note, class=success]',
        '  failed [label="the first error: failure.json, a notification", shape=note, class=failure]',
        f'  subgraph cluster_success {{ label="Success"; {_FRAME_OF_A_PATH}; class=success',
        *flow.machine(definition, "  ", phases),
        "  }",
        f'  subgraph cluster_failure {{ label="Failure"; {_FRAME_OF_A_PATH}; class=failure',
        *flow.machine(definition, "  ", after_failure),
        "  }",
        f"  upload -> {flow.entry(start, definition)} [class=success]",
        *(f"  {flow.leave(name, definition)} -> result [class=success]" for name in _ends(definition)),
        f"  {flow.leave(record, definition)} -> failed [class=failure]",
        f"  {flow.leave(start, definition)} -> {flow.entry(clean_up, definition)} [ltail=cluster_success,"
        ' lhead=cluster_failure, label="any phase fails", constraint=false, class=failure]',
    ]
    return "\n".join([*lines, *flow.edges, "}"])


class _Flow:
    """Collects boxes and arrows. A Parallel or a Map becomes a frame around its own states."""

    def __init__(self) -> None:
        self.edges: list[str] = []

    def machine(self, machine: Mapping[str, Any], indent: str, names: Iterable[str]) -> list[str]:
        lines: list[str] = []
        for name in names:
            state = machine["States"][name]
            inner = state.get("Branches", [state["ItemProcessor"]] if "ItemProcessor" in state else [])
            if inner:
                lines += [f"  {indent}subgraph cluster_{name} {{", f"  {indent}  {_frame(name, state)}"]
                for branch in inner:
                    lines += self.machine(branch, indent + "  ", _drawn(branch))
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


def _reached_without_error(machine: Mapping[str, Any]) -> list[str]:
    """Return the drawn states of an execution in which no state fails, in the order of the flow."""
    return [name for name in _drawn(machine) if name in set(_walk(machine, machine["StartAt"], set(), catches=False))]


def _walk(machine: Mapping[str, Any], name: str, seen: set[str], *, catches: bool = True) -> Iterator[str]:
    if name in seen:
        return
    seen.add(name)
    yield name
    state = machine["States"][name]
    for following in successors(state) if catches else _next_states(state):
        yield from _walk(machine, following, seen, catches=catches)


def _next_states(state: Mapping[str, Any]) -> list[str]:
    """Return the states that may follow a state that has not failed."""
    return successors({key: value for key, value in state.items() if key != "Catch"})


def _following(name: str, machine: Mapping[str, Any]) -> list[str]:
    """Return the drawn states that follow `name`, looking through states without a box; catches are left out."""
    found: dict[str, None] = {}
    waiting = _next_states(machine["States"][name])
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
    return "Resume" not in _next_states(machine["States"][name])


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
    # A frame inherits what it does not set from the frame around it.
    return f'label="{label}"; labeljust=l; style=rounded; class=inner; fontname="Helvetica"'


if __name__ == "__main__":
    main()
