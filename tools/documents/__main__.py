"""Write all generated documents: ``python -m tools.documents``."""

import shutil
import tempfile
from pathlib import Path

from tools.documents.generated import documents

DOCS = Path(__file__).parents[2] / "docs"


def main() -> None:
    """Write every document, and remove schemas of types that no longer exist."""
    with tempfile.TemporaryDirectory() as folder:
        found = documents(Path(folder))
    shutil.rmtree(DOCS / "schemas", ignore_errors=True)
    for name, text in found.items():
        (DOCS / name).parent.mkdir(parents=True, exist_ok=True)
        (DOCS / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
