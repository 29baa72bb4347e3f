"""The states of a run: its phases, and the path that every failure takes."""

from collections.abc import Mapping
from typing import Any

from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from infra.functions import Functions
from infra.model_stage import TRAINED_ARTIFACTS, Companions, Inference, ModelStage, shard_map
from infra.settings import Settings
from infra.storage import Storage
from infra.tasks import failing_task, function_task
from infra.teardown import TearDown

_path = sfn.JsonPath.string_at
_number = sfn.JsonPath.number_at
_object = sfn.JsonPath.object_at

PHASES = ("Prepare", "Pca", "KMeans", "TearDownKMeans", "Publish", "Apply")
"""The phases of a run; a run that failed is resumed at the phase that failed."""

MAPS = ("Project", "Label", "LabelByPreviousModel")
"""The distributed maps; each item of a map is an execution of its own."""


class Flow(Construct):
    """The states: Prepare -> Pca -> KMeans -> TearDownKMeans -> Publish, or Prepare -> Apply with ``mode: apply``.

    When a phase fails, the failure is noted, both models are torn down, and RecordFailure ends the execution with the
    first error. A redriven execution resumes at the phase that failed. If functions apply the models, a successful run
    has nothing to tear down, so there are no states for it.

    Attributes
    ----------
    definition
        The states from the first to the last.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, settings: Settings, storage: Storage, functions: Functions
    ) -> None:
        super().__init__(scope, construct_id)
        self._settings = settings
        self._functions = functions
        self._storage = storage

        publish = self._build_publish("Publish", self._described)
        apply = self._build_apply_phase()
        kmeans = self._build_kmeans_phase()
        pca = self._build_pca_phase()
        prepare = self._build_prepare()
        catching: dict[str, sfn.Parallel | sfn.TaskStateBase]
        catching = {"Prepare": prepare, "Pca": pca, "KMeans": kmeans, "Publish": publish, "Apply": apply}
        starts: dict[str, sfn.State] = {**catching}
        if settings.hosts_models:
            teardown = self._build_teardown(then=publish)
            starts["TearDownKMeans"], catching["TearDownKMeans"] = teardown.start, teardown.task
            after_kmeans: sfn.IChainable = teardown.start
        else:
            after_kmeans = publish
        pca.next(kmeans).next(after_kmeans)
        is_applied = sfn.Condition.string_equals("$.prepared.mode", "apply")
        self.definition = prepare.next(sfn.Choice(self, "WhichMode").when(is_applied, apply).otherwise(pca))

        resume_at = {phase: starts[phase] for phase in PHASES if phase in starts}
        failure = self._build_failure_path(resume_at)
        for phase in resume_at:
            self._note_failure(phase, catching[phase], failure)

    def _build_prepare(self) -> sfn.TaskStateBase:
        return function_task(
            self,
            "Prepare",
            self._functions["prepare"],
            {"run_id": _path("$.run_id"), "input": _object("$.input")},
            result={
                "rows": _number("$.Payload.rows"),
                "features": _number("$.Payload.features"),
                "shards": _number("$.Payload.shards"),
                "shards_key": _path("$.Payload.shards_key"),
                "vintage": _path("$.Payload.vintage"),
                "mode": _path("$.Payload.mode"),
            },
            result_path="$.prepared",
        )

    def _build_pca_phase(self) -> sfn.Parallel:
        stage = ModelStage(
            self,
            "Pca",
            stage="pca",
            functions=self._functions,
            settings=self._settings,
            shards_bucket=self._storage.results,
            features_path="$.prepared.features",
            clusters_path=None,
            inference=Inference(state="Project", function="project", answer="components"),
        )
        # A Parallel state with one branch, because its Catch covers the whole phase.
        phase = sfn.Parallel(
            self,
            "PcaPhase",
            state_name="Pca",
            result_selector={**self._select_descriptions(), "components": _number("$[0].inferred.components")},
            result_path="$.pca",
        )
        return phase.branch(stage.chain)

    def _build_kmeans_phase(self) -> sfn.Parallel:
        choose_clusters = function_task(
            self,
            "ChooseClusters",
            self._functions["choose_clusters"],
            {"run_id": _path("$.run_id")},
            result={"clusters": _number("$.Payload.clusters")},
            result_path="$.chosen",
        )
        is_chosen = self._settings.clusters == "auto"
        companions = self._build_companions_of_kmeans(
            _number("$.chosen.clusters") if is_chosen else self._settings.clusters
        )
        stage = ModelStage(
            self,
            "KMeans",
            stage="kmeans",
            functions=self._functions,
            settings=self._settings,
            shards_bucket=self._storage.results,
            features_path="$.pca.components",
            clusters_path="$.chosen.clusters" if is_chosen else None,
            inference=Inference(state="Label", function="label", answer="rows"),
            companions=companions,
        )
        phase = sfn.Parallel(
            self,
            "KMeansPhase",
            state_name="KMeans",
            result_selector={
                **self._select_descriptions(),
                "artifacts": _path(companions.artifacts_path.replace("$", "$[0]", 1)),
            },
            result_path="$.kmeans",
        )
        if is_chosen:
            phase.branch(choose_clusters.next(stage.chain))
        else:
            # Only the report shows the elbow, so training does not wait for it.
            phase.branch(stage.chain, choose_clusters)
        if self._settings.hosts_models:
            teardown = TearDown(
                self, "TearDownPca", name="Pca", stage="pca", functions=self._functions, settings=self._settings
            )
            phase.branch(teardown.start)
        return phase

    def _build_companions_of_kmeans(self, clusters: Any) -> Companions:
        refined_artifacts = "$.refined.artifacts"
        artifacts_path = refined_artifacts if self._settings.refine else TRAINED_ARTIFACTS
        stability = function_task(
            self,
            "Stability",
            self._functions["stability"],
            {"run_id": _path("$.run_id"), "artifacts": _path(artifacts_path)},
            result={"refits": _number("$.Payload.refits")},
            result_path="$.stability",
        )
        align = function_task(
            self,
            "Align",
            self._functions["align"],
            {
                "run_id": _path("$.run_id"),
                "input": _object("$.input"),
                "vintage": _path("$.prepared.vintage"),
                "pca_artifacts": _path(TRAINED_ARTIFACTS.replace("$", "$.pca", 1)),
                "kmeans_artifacts": _path(artifacts_path),
            },
            result={"kept": _number("$.Payload.kept")},
            result_path="$.aligned",
        )
        before_inference = align.next(stability)
        if not self._settings.refine:
            return Companions(of_inference=before_inference, artifacts_path=artifacts_path)
        fresh_starts = function_task(
            self,
            "FreshStarts",
            self._functions["fresh_starts"],
            {"run_id": _path("$.run_id"), "clusters": clusters},
            result={"clusters": _number("$.Payload.clusters")},
            result_path="$.fresh_starts",
        )
        refine = function_task(
            self,
            "Refine",
            self._functions["refine"],
            {"run_id": _path("$.run_id"), "artifacts": _path(TRAINED_ARTIFACTS)},
            result={"artifacts": _path("$.Payload.artifacts")},
            result_path="$.refined",
        )
        return Companions(fresh_starts, refine, before_inference, artifacts_path)

    def _build_teardown(self, *, then: sfn.IChainable) -> TearDown:
        return TearDown(
            self,
            "TearDownKMeans",
            name="KMeans",
            stage="kmeans",
            functions=self._functions,
            settings=self._settings,
            then=then,
        )

    def _build_apply_phase(self) -> sfn.Parallel:
        adopt = function_task(
            self,
            "Adopt",
            self._functions["adopt"],
            {"run_id": _path("$.run_id"), "input": _object("$.input"), "vintage": _path("$.prepared.vintage")},
            result={"segments": _number("$.Payload.segments")},
            result_path="$.adopted",
        )
        label = shard_map(
            self,
            Inference(state="LabelByPreviousModel", function="label", answer="rows"),
            function=self._functions["label"],
            bucket=self._storage.results,
            model={},
            concurrency=self._settings.inference_concurrency,
        )
        publish = self._build_publish("PublishApplied", {})
        phase = sfn.Parallel(self, "ApplyPhase", state_name="Apply", output_path="$[0]")
        return phase.branch(adopt.next(label).next(publish))

    @property
    def _described(self) -> dict[str, Any]:
        """The fields of Publish's event that describe the models that the run trained."""
        names = {"training": "training", "endpoint": "endpoint", "hosting": "hosting_launch"}
        described = {
            f"{stage}_{names[kept]}": _object(f"$.{stage}.{kept}")
            for stage in ("pca", "kmeans")
            for kept in self._descriptions
        }
        return {"kmeans_artifacts": _path("$.kmeans.artifacts"), **described}

    def _build_publish(self, name: str, described: Mapping[str, Any]) -> sfn.TaskStateBase:
        return function_task(
            self,
            name,
            self._functions["publish"],
            {
                "run_id": _path("$.run_id"),
                "input": _object("$.input"),
                "execution": _object("$$.Execution"),
                **described,
            },
            result={"published": _object("$.Payload")},
            result_path="$",
        )

    def _build_failure_path(self, resume_at: Mapping[str, sfn.State]) -> sfn.State:
        record = failing_task(
            self,
            "RecordFailure",
            self._functions["record_failure"],
            {
                "run_id": _path("$.run_id"),
                "input": _object("$.input"),
                "failure": _object("$.failure"),
                "execution": _object("$$.Execution"),
            },
            # It returns only if the execution was redriven.
            result={"phase": _path("$.Payload.phase")},
            result_path="$.resume",
        )
        resume = sfn.Choice(self, "Resume")
        for phase, state in resume_at.items():
            resume.when(sfn.Condition.string_equals("$.resume.phase", phase), state)
        record.next(resume)

        clean_up = sfn.Parallel(self, "CleanUp", result_path=sfn.JsonPath.DISCARD)
        for name, stage in (("FailedPca", "pca"), ("FailedKMeans", "kmeans")):
            teardown = TearDown(
                self,
                f"TearDown{name}",
                name=name,  # type: ignore[arg-type]
                stage=stage,  # type: ignore[arg-type]
                functions=self._functions,
                settings=self._settings,
            )
            clean_up.branch(teardown.start)
        clean_up.add_catch(record, result_path="$.failure.cleanup")
        clean_up.next(record)
        return clean_up

    def _note_failure(self, phase: str, catching: sfn.Parallel | sfn.TaskStateBase, then: sfn.IChainable) -> None:
        note = sfn.Pass(
            self,
            f"Note{phase}Failure",
            parameters={"phase": phase, "error": _object("$.error"), "execution": _object("$$.Execution")},
            result_path="$.failure",
        )
        catching.add_catch(note.next(then), result_path="$.error")

    @property
    def _descriptions(self) -> tuple[str, ...]:
        """The fields of a ModelStage's output that Publish needs."""
        return ("training", "endpoint", "hosting") if self._settings.hosts_models else ("training",)

    def _select_descriptions(self) -> dict[str, Any]:
        """Select these fields from the results of a Parallel state whose first branch is the ModelStage."""
        return {key: _object(f"$[0].{key}") for key in self._descriptions}
