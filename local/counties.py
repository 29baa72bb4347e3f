"""Explains and compares counties, from the result files of a run."""

from jobs.segments import explain
from local import show, terminal
from local.errors import UserError
from local.results import RunFiles


def explain_county(run: RunFiles, wanted: str) -> None:
    """Print why a county is in its segment.

    Raises
    ------
    UserError
        If no county or several counties have this name, or the features of the run were not copied.
    """
    counties = explain.read_counties(run.labeled())
    county = _find(counties, wanted)
    _print(run, show.explanation(explain.explain_county(county, _features(run, county), run.segments)))


def compare_counties(run: RunFiles, wanted: str, other_wanted: str) -> None:
    """Print two counties side by side.

    Raises
    ------
    UserError
        As for :func:`explain_county`.
    """
    counties = explain.read_counties(run.labeled())
    one, other = _find(counties, wanted), _find(counties, other_wanted)
    found = explain.compare_counties(one, _features(run, one), other, _features(run, other), run.segments)
    _print(run, show.comparison(found))


def _print(run: RunFiles, what: show.RenderableType) -> None:
    console = terminal.console()
    console.print(what)
    show.print_notes(console, run.notes)


def _find(counties: list[explain.County], wanted: str) -> explain.County:
    try:
        return explain.find_county(counties, wanted)
    except explain.UnknownCountyError as unknown:
        raise UserError(str(unknown)) from unknown


def _features(run: RunFiles, county: explain.County) -> dict[str, float]:
    try:
        return explain.features_of(county.index, run.scaling(), run.training_shards())
    except IndexError:
        raise UserError(
            f"{run.directory} lacks the features that an explanation needs; runs of very many rows do not copy them"
        ) from None
