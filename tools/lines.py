"""Count lines of code by folder, without comments, docstrings and blank lines: ``python -m tools.lines [REV [REV]]``.

Without a revision it counts the working tree; with two it prints both beside each other.
"""

import ast
import io
import subprocess
import sys
import tokenize
from collections import Counter
from pathlib import Path

_NOT_CODE = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)


def code_lines(source: str) -> int:
    """Return the number of lines of a module that contain code."""
    lines = {
        number
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type not in _NOT_CODE
        for number in range(token.start[0], token.end[0] + 1)
    }
    for node in ast.walk(ast.parse(source)):
        # A string that is a statement of its own is documentation.
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(lines)


def by_folder(revision: str | None) -> Counter[str]:
    """Return the lines of code of each folder of a revision, or of the working tree."""
    listing = ["ls-tree", "-r", "--name-only", revision] if revision else ["ls-files"]
    found = Counter[str]()
    for name in _git(*listing).splitlines():
        if name.endswith(".py"):
            try:
                source = _git("show", f"{revision}:{name}") if revision else Path(name).read_text(encoding="utf-8")
            except FileNotFoundError:  # deleted from the working tree, but not from the index
                continue
            found[name.split("/")[0] if "/" in name else "."] += code_lines(source)
    return found


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout


def main(*revisions: str) -> None:
    """Print a table with one row per folder."""
    columns = [by_folder(each) for each in revisions or (None,)]
    print(f"{'folder':<14}" + "".join(f"{each[:10]:>12}" for each in revisions or ("now",)))
    for folder in sorted({name for column in columns for name in column}):
        print(f"{folder:<14}" + "".join(f"{column[folder]:>12,}" for column in columns))
    print(f"{'total':<14}" + "".join(f"{column.total():>12,}" for column in columns))


if __name__ == "__main__":
    main(*sys.argv[1:])
