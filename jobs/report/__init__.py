"""The HTML report of a run: one file that opens offline."""

from jobs.report.page import RunReport, render

__all__ = ["RunReport", "render"]
