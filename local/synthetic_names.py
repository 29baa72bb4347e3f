"""The file name and the note that mark a synthetic census; separate because synthetic_census imports NumPy."""

from typing import Final

FILE_NAME: Final = "synthetic-census.csv"
NOTE: Final = "synthetic census: real county names, invented figures"
