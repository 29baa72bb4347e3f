"""The content of scaler.json: how Prepare scaled a CSV, and what it left out."""

from typing import TypedDict


class RowCounts(TypedDict):
    """Rows of the CSV: those read are the dropped ones, which have an empty cell, and the kept ones."""

    read: int
    dropped: int
    kept: int


class DroppedRegion(TypedDict):
    """A row that was left out.

    `row` is its number as a spreadsheet shows it (the header is row 1), `id` its identifier or else its row number,
    `name` its State-County, and `empty_columns` the columns whose cells are empty.
    """

    row: int
    id: str
    name: str
    empty_columns: list[str]


class ConstantFeature(TypedDict):
    """A column that has the same value in every row, in its own unit; it is kept out of the model."""

    name: str
    value: float


class IgnoredColumn(TypedDict):
    """A column that is kept out of the model for another reason, which `reason` states."""

    name: str
    reason: str


class CorrectedColumn(TypedDict):
    """A column whose values lost their decimal point, and are divided to restore it."""

    name: str
    divided_by: float


class Source(TypedDict):
    """The CSV as it is stored; `id_column` is None if the row number serves as identifier."""

    sha256: str
    bytes: int
    compression: str | None
    encoding: str
    delimiter: str
    decimal_mark: str
    id_column: str | None


class Scaler(TypedDict):
    """The content of scaler.json.

    `minimum`, `maximum` and `scaled_mean` have one number per feature: the first two in the feature's own unit, the
    last between 0 and 1. `dropped_regions` holds the first hundred.
    """

    features: list[str]
    minimum: list[float]
    maximum: list[float]
    scaled_mean: list[float]
    rows: RowCounts
    dropped_regions: list[DroppedRegion]
    constant_features: list[ConstantFeature]
    ignored_columns: list[IgnoredColumn]
    corrected_columns: list[CorrectedColumn]
    source: Source
