"""The construct for a CDK app: ``from census_segmentation.construct import CensusSegmentation, Settings``."""

from infra.segmentation import CensusSegmentation
from infra.settings import Settings, SettingsError

__all__ = ["CensusSegmentation", "Settings", "SettingsError"]
