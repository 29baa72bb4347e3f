"""Census files of later years, derived from one of 2015 or 2017."""

import numpy as np
import pandas as pd

CONNECTICUT_NOW = {
    "09110": "Capitol",
    "09120": "Greater Bridgeport",
    "09130": "Lower Connecticut River Valley",
    "09140": "Naugatuck Valley",
    "09150": "Northeastern Connecticut",
    "09160": "Northwest Hills",
    "09170": "South Central Connecticut",
    "09180": "Southeastern Connecticut",
    "09190": "Western Connecticut",
}
"""The planning regions that replaced Connecticut's counties in 2022."""

VALDEZ_CORDOVA = "02261"
VALDEZ_CORDOVA_NOW = {"02063": "Chugach Census Area", "02066": "Copper River Census Area"}
"""What a census area of Alaska became in 2019."""


def with_planning_regions(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with Connecticut's planning regions instead of its counties, whose rows they take in turn."""
    old = table[table["State"] == "Connecticut"]
    return _replaced(table, old, CONNECTICUT_NOW)


def with_regions_of_2023(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with the counties and their equivalents of 2023; the ids get five digits."""
    ids = table.columns[0]
    padded = table.assign(**{ids: table[ids].astype(str).str.zfill(5)})
    renamed = padded.replace({ids: {"46113": "46102", "02270": "02158"}})
    divided = _replaced(renamed, renamed[renamed[ids] == VALDEZ_CORDOVA], VALDEZ_CORDOVA_NOW)
    return with_planning_regions(divided)


def _replaced(table: pd.DataFrame, old: pd.DataFrame, now: dict[str, str]) -> pd.DataFrame:
    """Return the table with new regions at its end instead of the old ones, whose figures they take in turn."""
    new = old.iloc[np.arange(len(now)) % len(old)].copy()
    new[table.columns[0]], new["County"] = list(now), list(now.values())
    return pd.concat([table.drop(index=old.index), new], ignore_index=True)
