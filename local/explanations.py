"""Why is this county in its segment, and how do two differ: answered from a run's result files."""

from jobs.segments import explain
from local import show
from local.errors import Trouble
from local.results import RunFiles


def explain_county(run: RunFiles, wanted: str) -> None:
    """Say why a county is in its segment.

    Raises
    ------
    Trouble
        When no county, or more than one, is called so, or the run's features aren't at hand.
    """
    counties = explain.read_counties(run.labeled())
    county = _find(counties, wanted)
    _print(run, show.explanation(explain.explain_county(county, _features(run, county), run.segments)))


def compare_counties(run: RunFiles, wanted: str, other_wanted: str) -> None:
    """Lay two counties side by side.

    Raises
    ------
    Trouble
        As for :func:`explain_county`.
    """
    counties = explain.read_counties(run.labeled())
    one, other = _find(counties, wanted), _find(counties, other_wanted)
    found = explain.compare_counties(one, _features(run, one), other, _features(run, other), run.segments)
    _print(run, show.comparison(found))


def _print(run: RunFiles, answer: show.RenderableType) -> None:
    screen = show.console()
    screen.print(answer)
    show.notes(screen, run.notes)


def _find(counties: list[explain.County], wanted: str) -> explain.County:
    try:
        return explain.find_county(counties, wanted)
    except explain.UnknownCountyError as unknown:
        raise Trouble(str(unknown)) from unknown


def _features(run: RunFiles, county: explain.County) -> dict[str, float]:
    try:
        return explain.features_of(county.index, run.scaling(), run.training_shards())
    except IndexError:
        raise Trouble(
            f"{run.directory} lacks the features that an explanation needs: runs of very many rows don't copy them"
        ) from None
