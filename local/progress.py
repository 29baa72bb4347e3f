"""Shows the steps of a command while it works."""

import threading
import time
from collections.abc import Sequence
from typing import Final, Literal, Protocol

from rich.console import RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from local import terminal
from local.steps import Step

Mode = Literal["live", "lines", "silent"]

MARKS: Final = {"done": Text("✓", "green"), "failed": Text("✗", "red")}
_SETTLED_SECONDS: Final = 0.3


class Screen(Protocol):
    """Shows the steps of a command; a context that lasts as long as the command works."""

    def show(self, steps: Sequence[Step]) -> None:
        """Show these steps from now on."""

    def __enter__(self) -> "Screen": ...

    def __exit__(self, *_: object) -> None: ...


def screen(mode: Mode) -> Screen:
    """Return the screen for a mode: an animated table, plain lines, or nothing."""
    if mode == "live":
        return LiveScreen()
    return LineScreen() if mode == "lines" else SilentScreen()


class SilentScreen:
    """Shows nothing."""

    def show(self, steps: Sequence[Step]) -> None:
        """Ignore the steps."""

    def __enter__(self) -> "SilentScreen":
        return self

    def __exit__(self, *_: object) -> None:
        return None


class LiveScreen:
    """Shows a table of steps on a terminal, with the seconds that each has taken so far."""

    def __init__(self) -> None:
        self._steps: Sequence[Step] = ()
        self._spinner = Spinner("line", style="cyan")
        self._live = Live(get_renderable=self._table, console=terminal.console(), refresh_per_second=8)

    def show(self, steps: Sequence[Step]) -> None:
        """Show these steps from now on."""
        self._steps = list(steps)

    def __enter__(self) -> "LiveScreen":
        self._live.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.__exit__(None, None, None)

    def _table(self) -> RenderableType:
        table = Table.grid(padding=(0, 2))
        table.add_column()
        table.add_column(min_width=18)
        table.add_column(justify="right", min_width=8)
        table.add_column(style="dim")
        for step in self._steps:
            mark = self._spinner if step.outcome == "running" else MARKS[step.outcome]
            table.add_row(mark, step.name, f"{step.seconds():.1f} s", remark(step))
        return table


class LineScreen:
    """Prints a line when a step begins and a line when it ends, for logs and pipes."""

    def __init__(self) -> None:
        self._console = terminal.console()
        self._began = time.time()
        self._printed: dict[str, str] = {}
        self._steps: Sequence[Step] = ()
        self._lock = threading.Lock()

    def show(self, steps: Sequence[Step]) -> None:
        """Print the changes since the last call."""
        with self._lock:
            self._steps = list(steps)
            self._print(settled_before=time.time() - _SETTLED_SECONDS)

    def __enter__(self) -> "LineScreen":
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._print(settled_before=float("inf"))

    def _print(self, settled_before: float) -> None:
        """Print the changes in order of time.

        A step that ended a moment ago may continue with its next state, so its end is printed only once it is settled.
        """
        lines: list[tuple[float, str]] = []
        begun_last = max((step.started for step in self._steps), default=0.0)
        for step in self._steps:
            if step.name not in self._printed:
                lines.append((step.started, f"{step.name}: waiting for {step.waiting_for}"))
                self._printed[step.name] = "running"
            over = step.ended is not None and step.ended <= max(settled_before, begun_last)
            if over and self._printed[step.name] != step.outcome:
                note = f" ({step.note})" if step.failed and step.note else ""
                text = f"{step.name}: {step.outcome} in {step.seconds():.1f} s{note}"
                lines.append((step.ended or 0.0, text))
                self._printed[step.name] = step.outcome
        for moment, text in sorted(lines, key=lambda line: line[0]):
            self._print_line(moment, text)

    def _print_line(self, moment: float, text: str) -> None:
        self._console.print(f"[{max(0.0, moment - self._began):6.1f} s] {text}")


def remark(step: Step) -> str:
    """Return what a running step waits for, or why a step failed."""
    if step.outcome == "running":
        return f"waiting for {step.waiting_for}" + (f" ({step.note})" if step.note else "")
    return step.note if step.failed else ""
