"""Small parts alone: pace, streams of records, CSV, paging."""

import numpy as np
import pytest

from embedded_aws.sagemaker.channels import read_csv, whole_records
from embedded_aws.sagemaker.locations import split_uri
from embedded_aws.sagemaker.pace import Pace
from jobs.sagemaker import recordio


def test_the_recorded_pace_scales_the_recorded_times() -> None:
    pace = Pace.parse("recorded*0.01")
    assert (pace.training("pca"), pace.hosting("pca")) == pytest.approx((1.91, 3.75))
    assert (pace.training("kmeans"), pace.hosting("kmeans")) == pytest.approx((1.91, 4.40))
    assert pace.time_scale == 0.01


def test_a_pace_is_read_back_from_its_text() -> None:
    pace = Pace.parse("training=2, pca_hosting=0.5,deleting=0")
    assert (pace.pca_training, pace.kmeans_training, pace.pca_hosting, pace.deleting) == (2, 2, 0.5, 0)
    assert Pace.parse(pace.to_text()) == pace
    assert Pace.parse("") == Pace()


@pytest.mark.parametrize("text", ["quick", "training=soon", "training=-1", "lunch=3", "recorded*x", "training=inf"])
def test_a_pace_that_is_not_understood_says_what_is(text: str) -> None:
    with pytest.raises(ValueError, match="pace"):
        Pace.parse(text)


@pytest.mark.parametrize("cut", [0, 5, 8, 100, 163, 164, 165, 1000, 164 * 20 - 1, 164 * 20])
def test_records_are_cut_where_they_end(cut: int) -> None:
    data = recordio.encode(np.ones((20, 34), np.float32))
    assert whole_records(data[:cut]) == cut // 164 * 164


def test_records_of_different_lengths_are_cut_where_they_end() -> None:
    short, long = recordio.encode(np.ones((1, 3), np.float32)), recordio.encode(np.ones((1, 30), np.float32))
    data = short + long + short
    assert whole_records(data) == len(data)
    assert whole_records(data[:-1]) == len(short + long)
    assert whole_records((short + long)[:-1]) == len(short)


def test_csv_is_read_with_blank_lines_bom_and_crlf() -> None:
    rows = read_csv("\ufeff1,2.5\r\n\r\n-3e2,4\r\n".encode())
    np.testing.assert_array_equal(rows, np.array([[1, 2.5], [-300, 4]], np.float32))


@pytest.mark.parametrize(
    ("text", "reason"),
    [(b"", "empty"), (b"1,2\n3", "row 2 has 1 cells"), (b"a,b", "no number"), (b"1,2\n,", "no number")],
)
def test_csv_that_is_no_table_of_numbers_is_refused(text: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_csv(text)


@pytest.mark.parametrize(
    "uri",
    [
        "s3://data/train/part",
        "https://s3.us-east-1.amazonaws.com/data/train/part",
        "https://s3.amazonaws.com/data/train/part",
        "https://data.s3.us-east-1.amazonaws.com/train/part",
    ],
)
def test_a_location_in_s3_is_named_in_four_ways(uri: str) -> None:
    assert split_uri(uri) == ("data", "train/part")
