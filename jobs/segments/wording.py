"""Features in words: labels, units and phrases for people.

A column's name is split into words (``IncomePerCap`` -> "Income per capita"), and its kind (share, money, count ...) is
derived from its words and values. The tables below only improve the wording; columns with any other names work too.
"""

import re
from dataclasses import dataclass
from enum import Enum

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_LONGER = {
    "pop": "population",
    "err": "margin of error",
    "moe": "margin of error",
    "cap": "capita",
    "transp": "transport",
    "pct": "",
    "percent": "",
}
_PROPER = {
    "hispanic",
    "latino",
    "white",
    "black",
    "native",
    "american",
    "indian",
    "alaska",
    "asian",
    "pacific",
}
_MONEY = {"income", "earnings", "rent", "salary", "wage", "wages", "dollars"}
_MINUTES = {"commute", "minutes"}
_AVERAGES = {"mean", "median", "avg", "average", "index", "ratio", "years", "age", "size", "score"}
_RATES = {"poverty", "unemployment", "rate"}
_LONG = {"commute", "minutes"}
_LARGE = {"population", "total", "men", "women", "citizen", "employed", "households"}
_LONGEST_LABEL = 60  # characters: labels stand in names, charts and mails; the whole name remains in `name`
_POPULATION = re.compile(r"(total_?)?pop(ulation)?(_?\d{4}|_?total)?", re.IGNORECASE)


class Kind(Enum):
    """What the values of a feature are, which decides their unit and rounding."""

    SHARE = "percent"
    MONEY = "dollars"
    MINUTES = "minutes"
    COUNT = "count"
    NUMBER = "number"


@dataclass(frozen=True)
class Feature:
    """A feature in words.

    Attributes
    ----------
    name
        The column's name.
    label
        The name in words, such as "Income per capita".
    kind
        What its values are.
    is_error
        Whether the column is a margin of error, which describes the survey and not the place.
    """

    name: str
    label: str
    kind: Kind
    is_error: bool

    @property
    def words(self) -> str:
        """The label inside a sentence: lower case except for the names of peoples."""
        return " ".join(_cased(word) for word in self.label.split())

    def value(self, number: float, *, against: float | None = None) -> str:
        """Write a value with its unit: ``43 %``, ``$32,400``, ``31 min``, ``12,300``.

        `against` is another value that is shown beside it; both get enough digits to differ.
        """
        if self.kind is Kind.SHARE:
            smallest = min(number, number if against is None else against)
            return f"{_digits(number, against, 0 if smallest >= 1 or smallest <= 0 else 1)} %"
        if self.kind is Kind.MINUTES:
            return f"{_digits(number, against, 0)} min"
        if self.kind is Kind.MONEY:
            return f"${_three_figures(number):,.0f}"
        if self.kind is Kind.COUNT:
            return f"{_three_figures(number):,.0f}"
        return f"{number:.3g}" if abs(number) < 1000 else f"{number:,.0f}"

    def exact(self, number: float) -> str:
        """Write a value without its unit, with four significant digits, or as a whole number from 1,000."""
        return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:,.4g}"

    def phrase(self, effect: float) -> str:
        """Say in which direction the feature differs: "high poverty", "very low income", "long commutes"."""
        words = self.words
        tokens = set(words.lower().split())
        up, down = "high", "low"
        if self.kind is Kind.SHARE and not tokens & _RATES:
            words = f"{words.replace(' ', '-')} share"
        elif tokens & _LONG:
            up, down = "long", "short"
            words = words.removeprefix("mean ").removesuffix("commute") + "commutes"
        elif self.kind is Kind.COUNT and tokens & _LARGE:
            up, down = "large", "small"
            words = words.removeprefix("total ")
        very = "very " if abs(effect) >= 2 else ""
        return f"{very}{up if effect > 0 else down} {words}"


def describe_feature(name: str, minimum: float, maximum: float, *, whole: bool) -> Feature:
    """Derive the label and the kind of a feature from its name and the range of its values.

    Parameters
    ----------
    minimum, maximum
        Over all rows, in original units.
    whole
        Whether all values are whole numbers.
    """
    tokens = [token.lower() for token in _WORDS.findall(name)]
    longer = [_LONGER.get(token, token) for token in tokens]
    label = shortened(" ".join(word for word in longer if word) or name, _LONGEST_LABEL)
    return Feature(
        name=name,
        label=_sentence(label)[:1].upper() + _sentence(label)[1:],
        kind=_kind(set(tokens), minimum, maximum, whole=whole),
        is_error="margin of error" in label,
    )


def population_feature(features: list[Feature]) -> Feature | None:
    """Return the column that counts people: a count named population, pop, total_pop, TotalPop, pop2020 ..."""
    return next((f for f in features if f.kind is Kind.COUNT and _POPULATION.fullmatch(f.name)), None)


def shortened(text: str, characters: int) -> str:
    """Cut a text to a number of characters, the last of which is then an ellipsis."""
    return text if len(text) <= characters else f"{text[: characters - 1]}…"


def _kind(tokens: set[str], minimum: float, maximum: float, *, whole: bool) -> Kind:
    if tokens & _MONEY:
        return Kind.MONEY
    if tokens & _MINUTES and maximum <= 1000:
        return Kind.MINUTES
    if whole and minimum >= 0:
        return Kind.COUNT
    if minimum >= 0 and maximum <= 100 and not tokens & _AVERAGES:
        return Kind.SHARE
    return Kind.NUMBER


def _sentence(label: str) -> str:
    return " ".join(_cased(word) for word in label.split())


def _cased(word: str) -> str:
    return word.capitalize() if word.lower() in _PROPER else word.lower()


def _digits(number: float, against: float | None, least: int) -> str:
    for digits in range(least, 3):
        text = f"{number:.{digits}f}"
        if against is None or text != f"{against:.{digits}f}":
            return text
    return text


def _three_figures(number: float) -> float:
    return float(f"{number:.3g}")
