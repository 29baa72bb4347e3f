"""Generates docs/files.md and docs/schemas/: the JSON files that a run writes, and the events that it sends."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from contract.layout import LATEST, RunLayout, SeriesLayout
from contract.payloads import Shard
from jobs.census.problems import ProblemsDocument
from jobs.census.scaler import Scaler
from jobs.run.announcement import Announcement, ChangeAnnouncement
from jobs.run.failure import Failure
from jobs.run.manifest import Manifest
from jobs.segments.cluster_count import ElbowPoint
from jobs.segments.document import SegmentsDocument
from jobs.segments.refine import RefinementSummary
from jobs.series.alignment import Alignment
from jobs.series.changes import Changes
from jobs.series.history import History
from tools.documents.schemas import Schema, schema_of
from tools.documents.tables import table

_RUN, _SERIES = RunLayout("<run id>"), SeriesLayout("<folder>")


@dataclass(frozen=True)
class Described:
    """A file or an event, its keys in the results bucket or when it is sent, and the type of its content."""

    name: str
    place: str
    type: Any

    @property
    def schema(self) -> Schema:
        """The JSON Schema of its content."""
        return schema_of(self.type, self.name)

    @property
    def schema_file(self) -> str:
        """The name of the schema's file, such as ``segments.schema.json``."""
        return f"{self.name.removesuffix('.json').lower().replace(' ', '-')}.schema.json"


FILES = (
    Described("segments.json", f"`{_RUN.segments}`", SegmentsDocument),
    Described("manifest.json", f"`{_RUN.manifest}`", Manifest),
    Described("changes.json", f"`{_RUN.changes}`", Changes),
    Described("failure.json", f"`{_RUN.failure}`", Failure),
    Described("problems.json", f"`{_RUN.problems}`", ProblemsDocument),
    Described("latest.json", f"`{LATEST}`, `{_SERIES.latest}`", Announcement),
    Described("history.json", f"`{_SERIES.history}`", History),
    Described("alignment.json", f"`{_RUN.alignment}`", Alignment),
    Described("scaler.json", f"`{_RUN.scaler}`", Scaler),
    Described("shards.json", f"`{_RUN.shards}`", list[Shard]),
    Described("elbow.json", f"`{_RUN.elbow}`", list[ElbowPoint]),
    Described("fresh_starts.json", f"`{_RUN.fresh_starts}`", list[list[float]]),
    Described("refinement.json", f"`{_RUN.refinement}`", RefinementSummary),
)
"""The JSON files in the results bucket."""

EVENTS = (
    Described("Census Segmented", "after each successful run", Announcement),
    Described("Census Changed", "after a run that was compared with the run before it", ChangeAnnouncement),
)
"""The details of the events on the default event bus, by detail type."""

_HEAD = """# Files and events

`make docs` writes this page and the JSON Schemas in `docs/schemas/` from the types that the functions use. The tests
validate the files of a run against these schemas. [README](../README.md#what-comes-out) says what each file is for, and
[Reading a report](reading-a-report.md) what the numbers mean.

"""


def schemas() -> dict[str, str]:
    """Return the text of every schema by the name of its file."""
    return {
        each.schema_file: json.dumps(each.schema, indent=2, ensure_ascii=False) + "\n" for each in (*FILES, *EVENTS)
    }


def render() -> str:
    """Return the page."""
    events = "EventBridge delivers them from the source `census.segmentation`.\n\n"
    return (
        f"{_HEAD}## Files in the results bucket\n\n{_overview('File', 'Key', FILES)}\n"
        f"## Events\n\n{events}{_overview('Detail type', 'Sent', EVENTS)}\n"
        f"{''.join(_section(each) for each in FILES)}"
        f"{''.join(_section(each) for each in EVENTS if each.type is not Announcement)}"
    )


def _overview(first: str, second: str, described: tuple[Described, ...]) -> str:
    rows = [[f"`{each.name}`", each.place, f"[schema](schemas/{each.schema_file})"] for each in described]
    return table([first, second, "JSON Schema"], rows)


def _section(described: Described) -> str:
    schema = described.schema
    definitions = schema.get("$defs", {})
    objects = [*([(described.name, schema)] if "properties" in schema else []), *definitions.items()]
    title = f"## {described.name}\n\n"
    if "properties" not in schema:
        title += f"A {next(_types(schema))}.\n\n"
    parts = [
        (f"### {name}\n\n" if name != described.name else "") + f"{each['description']}\n\n{_fields(each)}\n"
        for name, each in objects
    ]
    return title + "".join(parts)


def _fields(schema: Schema) -> str:
    fields = schema["properties"]
    rows = [[f"`{name}`", " or ".join(_types(each)), each.get("description", "")] for name, each in fields.items()]
    columns = 3 if any(row[2] for row in rows) else 2
    return table(["Field", "Type", "Meaning"][:columns], [row[:columns] for row in rows])


def _types(schema: Schema) -> Iterator[str]:
    match schema:
        case {"anyOf": variants}:
            for variant in variants:
                yield from _types(variant)
        case {"$ref": reference}:
            yield reference.rpartition("/")[2]
        case {"enum": values}:
            yield ", ".join(f"`{json.dumps(value)}`" for value in values)
        case {"type": "array", "items": items}:
            yield f"list of {' or '.join(_types(items))}"
        case {"type": "object", "additionalProperties": values}:
            yield f"object of {' or '.join(_types(values))}"
        case _:
            yield schema.get("type", "any")
