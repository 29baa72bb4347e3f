"""A whole run computed here, without any service: for tests of what comes after labeling."""

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

from contract.names import Stage
from contract.payloads import PublishEvent
from contract.run_settings import RunSettings
from jobs.report import RunReport
from jobs.run.publication import LabeledRun, Measures, Publication, publish
from jobs.sagemaker.ndarray import save
from jobs.segments.assign import SegmentModel, nearest_centroids, project
from jobs.segments.cluster_count import ElbowPoint
from jobs.segments.describe import describe
from jobs.segments.document import SegmentsDocument
from jobs.segments.kmeans import distances
from jobs.segments.labels import labeled_rows
from jobs.segments.pca import PcaModel
from jobs.segments.rows import Regions
from jobs.segments.scaling import Scaling
from jobs.segments.stability import Stability
from jobs.segments.statistics import SegmentStatistics
from jobs.series.alignment import Alignment
from tests.reference import CENSUS_2015, needs_census
from tests.unit.jobs.census.census_files import prepared as prepare_text
from tests.unit.jobs.segments.test_pca import artifact

# The centroids that SageMaker's k-means found for the real file on 2019-03-08, with the components' signs
# of that run (`RECORDED_AUTAUGA` fixes them).
RECORDED_CENTROIDS = np.array(
    [
        [0.368001163, 0.226354256, 0.0788291916, 0.261262119, 0.0961402357, -0.0505092032, 0.0357557014],
        [-0.0732245147, 0.105659112, 0.113722928, -0.0633113831, -0.0395483039, 0.0466217995, -0.0219286084],
        [1.31537044, -0.257377833, -0.157875896, -0.415273398, -0.1253701, 0.11666587, 0.16248174],
        [-0.162926733, 0.0453134663, -0.300800741, 0.0725739002, -0.0414044, 0.059064433, 0.000824726187],
        [0.309595257, -0.15797697, -0.162361398, -0.185713798, 0.13846083, -0.114379212, -0.0649842843],
        [-0.26934725, 0.00837490428, -0.0181501284, -0.0730615258, 0.00457714126, -0.080983296, -0.0125052175],
        [-0.239941925, -0.317158133, 0.106285624, 0.0489501953, 0.0487177409, -0.00673310785, 0.110704802],
        [0.205574751, -0.447796524, 0.0854142755, 0.198281378, -0.112922713, -0.0160498768, -0.151252389],
    ]
)
RECORDED_AUTAUGA = np.array([-0.060274, 0.160527, -0.088356, 0.12048, -0.010824, 0.040452, 0.025895])
RECORDED_SIZES = [390, 994, 92, 449, 218, 595, 339, 141]


@dataclass(frozen=True)
class Run:
    """A run's results, and the table of complete rows they were computed from."""

    table: pd.DataFrame
    values: np.ndarray
    scaled: np.ndarray
    components: np.ndarray
    labels: np.ndarray
    scaling: Scaling
    pca: PcaModel
    centroids: np.ndarray
    statistics: SegmentStatistics
    document: SegmentsDocument


def regions_of(*columns: Iterable[str]) -> Regions:
    """Write ids, states and counties as Prepare writes regions.csv, without line breaks in names."""
    text = io.StringIO()
    rows = ([name.replace("\n", " ") for name in row] for row in zip(*columns, strict=True))
    csv.writer(text, lineterminator="\n").writerows(rows)
    return Regions.read(text.getvalue().encode())


def segment_table(
    table: pd.DataFrame,
    *,
    kept: int,
    centroids: np.ndarray | None = None,
    signs: bool = True,
    clusters: int = 8,
    shard: int = 1000,
) -> Run:
    """Segment a census table whose first three columns are id, State and County."""
    read = len(table)
    dropped = table[table.isna().any(axis=1)]
    table = table.dropna().reset_index(drop=True)
    features = list(table.columns[3:])
    values = table[features].to_numpy(dtype=float)
    scaling = Scaling.from_json(
        json.dumps(
            {
                "features": features,
                "minimum": values.min(axis=0).tolist(),
                "maximum": values.max(axis=0).tolist(),
                "rows": {"read": read, "dropped": read - len(table), "kept": len(table)},
                "constant_features": [],
                "dropped_regions": [
                    {
                        "row": place + 2,
                        "id": str(row.iloc[0]),
                        "name": f"{row['State']}-{row['County']}",
                        "empty_columns": [column for column in features if pd.isna(row[column])],
                    }
                    for place, (_, row) in zip(dropped.index.tolist(), dropped.iterrows(), strict=True)
                ],
            }
        )
    )
    scaled = ((values - scaling.minimum) / scaling.range).astype(np.float32)
    pca = fit_pca(scaled)
    components = ((scaled - pca.mean) @ pca.components[:, :kept]).astype(np.float32)
    if centroids is None:
        centroids = _fit_kmeans(components, clusters)
    elif signs:  # turn the recorded signs as PcaModel turns them
        autauga = table.index[(table["State"] == "Alabama") & (table["County"] == "Autauga")][0]
        centroids = centroids * np.sign(RECORDED_AUTAUGA * components[autauga])
    to_centroids = distances(components, centroids)
    labels = to_centroids.argmin(axis=1)
    stability = Stability.of(components[:4096], centroids, refits=20)
    statistics = SegmentStatistics.merge(
        SegmentStatistics.of_shard(
            scaled=scaled[start : start + shard],
            components=components[start : start + shard],
            labels=labels[start : start + shard],
            certainty=stability.certainty(components[start : start + shard], labels[start : start + shard], centroids),
            distances=to_centroids.min(axis=1)[start : start + shard],
            regions=regions_of(*(table.iloc[start : start + shard, column].astype(str) for column in range(3))),
            scaling=scaling,
            clusters=len(centroids),
            first_row=start,
        )
        for start in range(0, len(table), shard)
    )
    document = describe(
        statistics,
        run_id="census-test",
        scaling=scaling,
        model=SegmentModel(scaling, pca, centroids),
        stability=stability,
        elbow=RECORDED_ELBOW,
    )
    return Run(table, values, scaled, components, labels, scaling, pca, centroids, statistics, document)


MANIFEST = {
    "run_id": "census-test",
    "input": {"uri": "s3://incoming/incoming/census.csv", "version_id": "v1", "sha256": "066d37f4", "bytes": 613237},
    "execution": {"arn": "arn:aws:states:us-east-1:123456789012:execution:census:census-test", "redrives": 0},
    "settings": {"clusters": 8, "variance_to_keep": 0.8, "hosting_instance_types": ["ml.t2.medium"]},
    "training_jobs": [
        {
            "stage": stage,
            "name": f"census-segmentation-census-test-{stage}",
            "instance_type": "ml.c4.xlarge",
            "hyperparameters": parameters,
            "billable_seconds": seconds,
        }
        for stage, parameters, seconds in (
            ("pca", {"num_components": "33", "mini_batch_size": "500"}, 23),
            ("kmeans", {"k": "8", "feature_dim": "7"}, 26),
        )
    ],
    "steps": [{"name": "Prepare", "start": "2019-03-08T00:07:38+00:00", "seconds": 3.1}],
    "billable_training_seconds": 49,
    "endpoint_seconds": 815.0,
}


def report_of(run: Run) -> RunReport:
    """Give what the report of a run is made of."""
    return RunReport(run.document, run.statistics, run.scaling, MANIFEST, variance_to_keep=0.8)


# What `elbow` finds on the real file's seven components.
RECORDED_ELBOW = [
    ElbowPoint(*point)
    for point in [
        (5, 0.3389, 0.905, 0.241),
        (6, 0.3203, 0.935, 0.257),
        (7, 0.3063, 0.801, 0.191),
        (8, 0.2994, 0.848, 0.200),
        (9, 0.2918, 0.807, 0.198),
        (10, 0.2843, 0.733, 0.198),
        (11, 0.2783, 0.644, 0.187),
        (12, 0.2714, 0.741, 0.184),
    ]
]


def fit_pca(scaled: np.ndarray) -> PcaModel:
    """Fit by SVD in float64, stored ascending as SageMaker does, one component less than features."""
    mean = scaled.astype(float).mean(axis=0)
    _, s, vt = np.linalg.svd(scaled - mean, full_matrices=False)
    keep = max(scaled.shape[1] - 1, 1)
    return PcaModel.from_arrays(s[:keep][::-1], vt[:keep][::-1].T, mean[None, :])


def publish_csv(text: str, *, clusters: int, settings: RunSettings) -> Publication:
    """Take a CSV through everything that a run does, with PCA and k-means computed here.

    Raises
    ------
    InvalidCensus
        If Prepare refuses the CSV.
    """
    _, sink = prepare_text(text, minimum_rows=clusters)
    scaler = sink.files["scaler.json"]
    scaled = sink.matrix()
    pca = fit_pca(scaled)
    kept = pca.components_to_keep(settings.variance_to_keep)
    components = pca.leading_components(project(pca, scaled), kept)
    centroids = _fit_kmeans(components, clusters)
    labels, to_centroids = nearest_centroids(components, centroids)
    stability = Stability.of(components, centroids, refits=3)
    certainty = stability.certainty(components, labels, centroids)
    regions = regions_of(*zip(*sink.regions(), strict=True))
    statistics = SegmentStatistics.of_shard(
        scaled=scaled,
        components=components,
        labels=labels,
        distances=to_centroids,
        certainty=certainty,
        regions=regions,
        scaling=Scaling.from_json(scaler),
        clusters=clusters,
        first_row=0,
    )
    stored = {"s": pca.singular_values[::-1], "v": (pca.components * pca.signs)[:, ::-1], "mean": pca.mean[None, :]}
    run = LabeledRun(
        scaler=scaler,
        model=SegmentModel.of(scaler, artifact(save(stored)), artifact(save([centroids]))),
        measures=Measures(stability.to_bytes()),
        statistics=[statistics.to_bytes()],
        alignment=Alignment("default", None, list(range(clusters)), reason="This is the first run of the series."),
        labeled_parts=[labeled_rows(regions, components, labels, to_centroids, certainty, numbers=np.arange(clusters))],
    )
    return publish(EVENT, run, previous="", earlier=[], history=[], settings=settings)


def _training(stage: Stage) -> dict[str, Any]:
    return {
        "TrainingJobName": f"census-test-{stage}",
        "ResourceConfig": {"InstanceType": "ml.c4.xlarge", "InstanceCount": 1},
        "AlgorithmSpecification": {"TrainingImage": stage},
        "HyperParameters": {},
        "ModelArtifacts": {"S3ModelArtifacts": f"s3://results/{stage}/model.tar.gz"},
    }


def _endpoint(stage: Stage) -> dict[str, Any]:
    return {"EndpointName": f"census-test-{stage}", "LastModifiedTime": "2019-03-08T00:07:38Z"}


EVENT: PublishEvent = {
    "run_id": "census-test",
    "kmeans_artifacts": "s3://results/kmeans/refined/model.tar.gz",
    "input": {"bucket": "incoming", "key": "incoming/census.csv", "version_id": "v1", "etag": "e", "size": 1},
    "execution": {"Id": "arn:aws:states:us-east-1:123456789012:execution:census:census-test"},
    "pca_training": _training("pca"),
    "pca_endpoint": _endpoint("pca"),
    "pca_hosting_launch": {"name": "census-test-pca", "instance_type": "ml.t2.medium"},
    "kmeans_training": _training("kmeans"),
    "kmeans_endpoint": _endpoint("kmeans"),
    "kmeans_hosting_launch": {"name": "census-test-kmeans", "instance_type": "ml.t2.medium"},
}
"""What the state machine sends to Publish after a run of the tests' census."""


def _fit_kmeans(components: np.ndarray, clusters: int) -> np.ndarray:
    from sklearn.cluster import KMeans

    centroids: np.ndarray = KMeans(clusters, n_init=2, random_state=0).fit(components).cluster_centers_
    return centroids


@cache
def real_run() -> Run:
    """Segment the real file by the recorded centroids; skips where the file isn't."""
    if not CENSUS_2015.exists():
        pytest.skip(needs_census.kwargs["reason"])
    return segment_table(pd.read_csv(CENSUS_2015), kept=7, centroids=RECORDED_CENTROIDS)
