"""What Prepare refuses, and how it says so."""

import bz2
import gzip
import io
import json
import lzma
import pickle
import zipfile
from typing import Any

import pytest

from jobs.census.prepare import InvalidCensus
from tests.unit.jobs.census.census_files import HEADER, ROWS, csv_text, prepared


def refusal(content: str | bytes, **settings: Any) -> InvalidCensus:
    with pytest.raises(InvalidCensus) as caught:
        prepared(content, **settings)
    return caught.value


def with_cell(cell: str) -> str:
    """Return four counties, the third with another Income."""
    return csv_text(*ROWS).replace("32964.0", cell)


def a_workbook() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return file.getvalue()


MISSING = "name the column {0}; a census CSV starts with a header"
NUMBER = "expected a number or an empty cell"
NEGATIVE = (
    "expected 0 or more: no census measure is negative, and codes such as -666666666 mean a missing value; "
    "leave the cell empty"
)
QUOTING = 'put the whole cell in quotation marks, and write "" for one inside'
AS_CSV = "save the table as CSV and upload that"
AS_UTF8 = "save the table as UTF-8 CSV and upload that"
SEPARATOR = "expected 6, as in the header; a cell that holds the separator needs quotation marks"

CASES = {
    "empty file": (b"", "the file is empty; upload a CSV with a header and rows"),
    "empty gzip": (gzip.compress(b""), "the file is empty; upload a CSV with a header and rows"),
    "only a byte order mark": (
        b"\xef\xbb\xbf",
        "the file holds blank lines only; upload a CSV with a header and rows",
    ),
    "blank lines only": ("\n\n\n", "the file holds blank lines only; upload a CSV with a header and rows"),
    "header only": (HEADER + "\n", "there is a header and no row; expected one row per region"),
    "no state": (
        csv_text(header=HEADER.replace("State", "Area")),
        "row 1: there is no column State (the header has: CensusId, Area, County, TotalPop, Income, Poverty); "
        + MISSING.format("State"),
    ),
    "no identifiers at all": (
        "a,b\n1,2\n",
        f"row 1: there is no column State (the header has: a, b); {MISSING.format('State')} (and 1 more problem)",
    ),
    "duplicate headers": (
        csv_text(header=HEADER.replace("Poverty", "income")),
        "row 1: 2 columns are named 'Income'; give each column a name of its own (upper and lower case don't tell "
        "them apart)",
    ),
    "too many columns": (
        csv_text(header=HEADER + ",x" * 2000),
        "row 1: there are 2,006 columns; expected at most 2,000",
    ),
    "a broken header": (
        csv_text(header='CensusId,State,County,"Total"Pop,Income,Poverty'),
        'row 1: the header can\'t be read as CSV; put whole names in quotation marks, and write "" for one inside',
    ),
    "values without a name": (
        csv_text(*[f"{i},{row}" for i, row in enumerate(ROWS)], header="," + HEADER),
        "column 1 has no name, and a value in 4 rows; name it in the header, or delete it (it may be an index "
        "that a program wrote)",
    ),
    "a short row": (csv_text(*ROWS, "01009,Alabama,Blount,1,2"), f"row 6: there are 5 cells; {SEPARATOR}"),
    "a row of one cell": (csv_text(*ROWS, "Source: Census"), f"row 6: there is 1 cell; {SEPARATOR}"),
    "a long row": (csv_text("1,A,B,1,2,3,4", *ROWS), f"row 2: there are 7 cells; {SEPARATOR}"),
    "a long and a short row": (
        csv_text("1,A,B,1,2,3,", *ROWS, "1,A,B,1,2"),
        f"row 2: there are 7 cells; {SEPARATOR} (and 1 more problem)",
    ),
    "blank lines count as rows": (csv_text(*ROWS, "", "x"), f"row 7: there is 1 cell; {SEPARATOR}"),
    "text in a number's place": (with_cell("lots"), f"row 4: Income is 'lots'; {NUMBER}"),
    "a mark for missing": (with_cell("n/a"), f"row 4: Income is 'n/a'; {NUMBER} (leave it empty)"),
    "NA": (with_cell("NA"), f"row 4: Income is 'NA'; {NUMBER} (leave it empty)"),
    "NaN": (with_cell("nan"), f"row 4: Income is 'nan'; {NUMBER} (leave it empty)"),
    "a dash": (with_cell("-"), f"row 4: Income is '-'; {NUMBER} (leave it empty)"),
    "a lone decimal point": (with_cell("."), f"row 4: Income is '.'; {NUMBER} (leave it empty)"),
    "thousands separators": (
        with_cell('"32,964"'),
        f"row 4: Income is '32,964'; {NUMBER} (write it without thousands separators)",
    ),
    "a decimal comma between commas": (
        with_cell('"32964,5"'),
        f"row 4: Income is '32964,5'; {NUMBER} (write it with a decimal point)",
    ),
    "a percent sign": (with_cell("12.5%"), f"row 4: Income is '12.5%'; {NUMBER} (write it without the sign)"),
    "a dollar sign": (with_cell("$32964"), f"row 4: Income is '$32964'; {NUMBER} (write it without the sign)"),
    "two points": (with_cell("1.2.3"), f"row 4: Income is '1.2.3'; {NUMBER}"),
    "an underscore": (with_cell("1_000"), f"row 4: Income is '1_000'; {NUMBER}"),
    "a hexadecimal": (with_cell("0x1F"), f"row 4: Income is '0x1F'; {NUMBER}"),
    "a half number": (with_cell("12e"), f"row 4: Income is '12e'; {NUMBER}"),
    "two numbers": (with_cell("12 13"), f"row 4: Income is '12 13'; {NUMBER}"),
    "digits of another script": (with_cell("١٢"), f"row 4: Income is '١٢'; {NUMBER}"),
    "infinity": (with_cell("inf"), "row 4: Income is 'inf'; expected a finite number or an empty cell"),
    "minus infinity": (
        with_cell("-Infinity"),
        "row 4: Income is '-Infinity'; expected a finite number or an empty cell",
    ),
    "a number beyond float64": (
        with_cell("1e999"),
        "row 4: Income is '1e999'; expected a finite number or an empty cell",
    ),
    "a negative count": (with_cell("-5"), f"row 4: Income is '-5'; {NEGATIVE}"),
    "the code for a missing value": (with_cell("-666666666"), f"row 4: Income is '-666666666'; {NEGATIVE}"),
    "commas of both kinds between semicolons": (
        csv_text().replace(",", ";").replace("51281.0", "51281,5"),
        f"row 2: Income is '51281,5'; {NUMBER} (write it with a decimal point)",
    ),
    "a thousand between semicolons": (
        csv_text().replace(",", ";").replace(".0", "").replace("51281", "51,281"),
        f"row 2: Income is '51,281'; {NUMBER} (write it without thousands separators)",
    ),
    "an empty column": (
        csv_text(*[f"{row}," for row in ROWS], header=HEADER + ",Notes"),
        "Notes is empty in every row; delete or fill it",
    ),
    "fewer rows than clusters": (
        csv_text(*ROWS[:2], "01009,Alabama,Blount,1,,3"),
        "there are 2 complete rows (1 of 3 have an empty cell; Income in 1); 8 clusters need at least 8",
    ),
    "no numeric columns": (
        "State,County,Note\n" + "".join(f"Alabama,County {i},x{i}\n" for i in range(9)),
        "there are 0 columns of numbers that vary (none); PCA need at least 2",
    ),
    "constant columns only": (
        "State,County,a,b\n" + "".join(f"Alabama,County {i},5,{i}\n" for i in range(9)),
        "there is 1 column of numbers that vary (b); PCA need at least 2",
    ),
    "a quotation mark never closed": (
        csv_text(*ROWS, '01009,Alabama,"Blount,1,2,3', *ROWS),
        f"row 6: a quotation mark is opened and never closed; {QUOTING}",
    ),
    "a quotation mark inside a cell": (
        csv_text(*ROWS, '01009,Alabama,5" Pipe,1,2,3"'),
        f"row 6: there is a quotation mark in the middle of a cell; {QUOTING}",
    ),
    "text after a closing quotation mark": (
        csv_text(ROWS[0], '01009,Alabama,"Blount" County,1,2,3'),
        f"row 3: there is a quotation mark in the middle of a cell; {QUOTING}",
    ),
    "a line without end": (
        csv_text(*ROWS) + "1" * (1 << 21),
        f"row 6: the line is longer than 1,048,576 bytes; {AS_CSV}",
    ),
    "a gzip bomb": (
        gzip.compress(b"0" * (1 << 26)),
        f"row 1: the line is longer than 1,048,576 bytes; {AS_CSV}",
    ),
    "half a gzip": (
        gzip.compress(csv_text().encode())[:-20],
        "the gzip data is broken (Compressed file ended before the end-of-stream marker was reached); "
        "compress the CSV again and upload that",
    ),
    "gzip in gzip": (
        gzip.compress(gzip.compress(csv_text().encode())),
        f"the file is a gzip file inside a gzip file; {AS_CSV}",
    ),
    "a workbook": (a_workbook(), f"the file is a ZIP archive or an Excel workbook; {AS_CSV}"),
    "an old workbook": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", f"the file is an old Excel workbook; {AS_CSV}"),
    "Parquet": (b"PAR1\x15\x04\x15", f"the file is a Parquet file; {AS_CSV}"),
    "bzip2": (bz2.compress(b"a,b"), f"the file is a bzip2 archive; {AS_CSV}"),
    "xz": (lzma.compress(b"a,b"), f"the file is an xz archive; {AS_CSV}"),
    "Zstandard": (bytes.fromhex("28b52ffd0458"), f"the file is a Zstandard archive; {AS_CSV}"),
    "7-Zip": (bytes.fromhex("377abcaf271c0004"), f"the file is a 7-Zip archive; {AS_CSV}"),
    "Avro": (b"Obj\x01\x04", f"the file is an Avro file; {AS_CSV}"),
    "a PDF": (b"%PDF-1.7\n", f"the file is a PDF document; {AS_CSV}"),
    "a web page": (
        "\n<!DOCTYPE html><html><body>404</body></html>",
        f"the file is a web page, XML or JSON: it starts with '<!DOCTYPE html><html><body>404</body></'; {AS_CSV}",
    ),
    "an error of S3": (
        '<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
        "the file is a web page, XML or JSON: it starts with '<?xml version=\"1.0\"?><Error><Code>Access'; " + AS_CSV,
    ),
    "JSON": (
        '[["NAME","B01001_001E"],["Alabama","5"]]',
        'the file is a web page, XML or JSON: it starts with \'[["NAME","B01001_001E"],["Alabama","5"]]\'; ' + AS_CSV,
    ),
    "binary data": (
        bytes(range(256)),
        f"row 1: there is a byte 0x00, which no text holds: the file is binary or damaged; {AS_CSV}",
    ),
    "a control character": (
        csv_text(*ROWS, "01009,Alabama,Blo\x1funt,1,2,3"),
        f"row 6: there is a byte 0x1f, which no text holds: the file is binary or damaged; {AS_CSV}",
    ),
    "half UTF-16": (csv_text().encode("utf-16")[:-1], f"the text isn't valid UTF-16; {AS_UTF8}"),
    "UTF-8 and Windows-1252 mixed": (
        csv_text("1,A,Doña Ana,1,2,3").encode() + "2,A,Doña Ana,1,2,3\n".encode("cp1252"),
        f"row 3: the text is neither UTF-8 nor Windows-1252 throughout (byte 0xf1); {AS_UTF8}",
    ),
    "marked as UTF-8, but Windows-1252": (
        b"\xef\xbb\xbf" + csv_text("1,A,Doña Ana,1,2,3").encode("cp1252"),
        f"row 2: the text is neither UTF-8 nor Windows-1252 throughout (byte 0xf1); {AS_UTF8}",
    ),
    "a byte that Windows-1252 lacks": (
        csv_text("1,A,Do\x81a Ana,1,2,3").encode("latin-1"),
        f"row 2: the text is neither UTF-8 nor Windows-1252 throughout (byte 0x81); {AS_UTF8}",
    ),
}


@pytest.mark.parametrize(("content", "message"), CASES.values(), ids=CASES)
def test_the_message_names_the_thing_the_value_and_the_remedy(content: bytes, message: str) -> None:
    assert str(refusal(content, minimum_rows=8 if "8 clusters" in message else 2)) == message


def test_fewer_rows_than_components_are_refused() -> None:
    rows = [f"A,County {i}," + ",".join(str(i * j % 13) for j in range(2, 12)) for i in range(4)]
    text = csv_text(*rows, header="State,County," + ",".join("abcdefghij"))
    assert str(refusal(text)) == "there are 4 complete rows; 9 components need at least 9"


def test_too_few_rows_and_too_few_features_are_kinds_of_their_own() -> None:
    assert refusal(csv_text(), minimum_rows=8).totals == {"too_few_rows": 1}
    assert refusal(csv_text(), components=5).totals == {"too_few_features": 1}


def test_an_encoding_that_changes_from_one_block_to_the_next_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.census.text.BLOCK_BYTES", 100)
    rows = [f"{number},A,Bibb,1,2,{number}" for number in range(20)]
    content = csv_text("1,A,Doña Ana,1,2,3", *rows).encode() + "22,A,Doña Ana,1,2,3\n".encode("cp1252")
    message = f"row 23: the text is neither UTF-8 nor Windows-1252 throughout (byte 0xf1); {AS_UTF8}"
    assert str(refusal(content)) == message


def test_fewer_features_than_components_are_refused() -> None:
    message = "there are 3 columns of numbers that vary (TotalPop, Income, Poverty); 5 components need at least 5"
    assert str(refusal(csv_text(), components=5)) == message


def test_every_problem_of_a_file_is_listed_by_row() -> None:
    text = csv_text("1,A,B,x,2,3", "2,A,C,1,-2,3", "3,A,D,1", "4,A,E,1,y,inf", *ROWS)
    problems = refusal(text).problems
    assert [(p.row, p.kind, p.column, p.value) for p in problems] == [
        (2, "not_a_number", "TotalPop", "x"),
        (3, "negative", "Income", "-2"),
        (4, "ragged_row", None, None),
        (5, "not_a_number", "Income", "y"),
        (5, "infinite", "Poverty", "inf"),
    ]


def test_a_hundred_problems_of_each_kind_are_shown_and_all_are_counted() -> None:
    rows = [f"{i},A,County {i},x,-1,{i % 100}" for i in range(250)]
    error = refusal(csv_text(*rows, *["too,short"] * 120, *ROWS))
    assert error.totals == {"ragged_row": 120, "not_a_number": 250, "negative": 250}
    assert len(error.problems) == 300
    assert [p.row for p in error.problems if p.kind == "negative"] == list(range(2, 102))
    assert str(error).endswith(" (and 619 more problems)")


def test_problems_are_counted_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.census.text.BLOCK_BYTES", 100)
    rows = [f"{i},A,County {i},x,-1,{i % 100}" for i in range(250)]
    error = refusal(csv_text(*ROWS, *rows, *["too,short"] * 120))
    assert error.totals == {"ragged_row": 120, "not_a_number": 250, "negative": 250}
    assert [p.row for p in error.problems if p.kind == "not_a_number"] == list(range(6, 106))


def test_problems_json_lists_row_column_value_and_remedy() -> None:
    document = refusal(with_cell("n/a")).document()
    assert json.loads(json.dumps(document)) == {
        "summary": f"row 4: Income is 'n/a'; {NUMBER} (leave it empty)",
        "totals": {"not_a_number": 1},
        "problems": [
            {
                "kind": "not_a_number",
                "message": f"row 4: Income is 'n/a'; {NUMBER} (leave it empty)",
                "remedy": f"{NUMBER} (leave it empty)",
                "row": 4,
                "column": "Income",
                "value": "n/a",
            }
        ],
    }


def test_a_long_value_is_shortened() -> None:
    assert refusal(with_cell("x" * 5000)).problems[0].value == "x" * 79 + "…"


def test_a_refusal_survives_pickling() -> None:
    error = refusal(with_cell("n/a"))
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
