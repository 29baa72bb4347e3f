"""How the synthetic census says that it is one: a name and a note, apart so that reading them costs nothing."""

from typing import Final

FILE_NAME: Final = "synthetic-census.csv"
NOTE: Final = "synthetic census: real county names, invented figures"
