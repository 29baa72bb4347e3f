"""Facts about instance types: which regions offer them, and what is said where they do not."""

import botocore.session

from contract.instance_types import LOCAL_STORAGE_FAMILIES, family_of, has_local_storage, lack_of_types, not_offered


def test_a_type_that_only_other_regions_offer_is_reported() -> None:
    assert not_offered(["ml.t2.medium", "ml.m5.large"], "eu-north-1", "hosting") == ["ml.t2.medium"]
    assert not_offered(["ml.t2.medium", "ml.m5.large"], "us-east-1", "hosting") == []


def test_nothing_is_reported_of_a_region_or_a_family_that_the_list_does_not_contain() -> None:
    assert not_offered(["ml.m5.large"], "xx-nowhere-1", "hosting") == []
    assert not_offered(["ml.never1.large"], "us-east-1", "hosting") == []


def test_the_sentence_says_what_runs_use_instead() -> None:
    assert lack_of_types(["ml.m5.large"], "eu-north-1", "hosting") == ""
    lacking = "eu-north-1 does not offer ml.t2.medium for hosting, so "
    assert lack_of_types(["ml.t2.medium", "ml.m5.large"], "eu-north-1", "hosting") == f"{lacking}runs use ml.m5.large"
    assert lack_of_types(["ml.t2.medium"], "eu-north-1", "hosting") == f"{lacking}every run will fail"


def test_an_instance_with_local_storage_is_known_by_its_family() -> None:
    assert has_local_storage("ml.g5.xlarge")
    assert not has_local_storage("ml.m5.large")


def test_the_families_with_local_storage_are_ones_that_sagemaker_has() -> None:
    model = botocore.session.get_session().get_service_model("sagemaker")
    shapes = (model.shape_for(name) for name in ("TrainingInstanceType", "ProductionVariantInstanceType"))
    types = [name for shape in shapes for name in shape.metadata["enum"]]
    # EC2's families with a d have disks; SageMaker lists m7gd in its prices only.
    assert {family_of(name) for name in types} | {"m7gd"} >= LOCAL_STORAGE_FAMILIES
