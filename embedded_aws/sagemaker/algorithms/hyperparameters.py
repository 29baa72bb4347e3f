"""The hyperparameters of PCA and k-means: names, allowed values and defaults.

Sources: "PCA Hyperparameters" and "K-Means Hyperparameters" in the SageMaker Developer Guide; the defaults of the
undocumented ones from the configuration that the containers log.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from embedded_aws.sagemaker.algorithms.failures import client_error


@dataclass(frozen=True)
class Rule:
    """One hyperparameter: its parser, its allowed values in words, and its default; None if it is required."""

    read: Callable[[str], Any]
    allowed: str
    default: str | None


def _integer(least: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        value = int(text)
        if value < least:
            raise ValueError(text)
        return value

    return read


def _or_auto(read: Callable[[str], Any]) -> Callable[[str], Any]:
    return lambda text: None if text == "auto" else read(text)


def _number(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise ValueError(text)
    return value


def _one_of(*names: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in names:
            raise ValueError(text)
        return text

    return read


def _boolean(text: str) -> bool:
    return _one_of("true", "false")(text.lower()) == "true"


def _metrics(text: str) -> tuple[str, ...]:
    names = json.loads(text)
    if not isinstance(names, list) or not names or not set(names) <= {"msd", "ssd"}:
        raise ValueError(text)
    return tuple(names)


def _extra_components(text: str) -> int:
    value = int(text)
    if value < -1:
        raise ValueError(text)
    return value


_POSITIVE = "an integer greater than or equal to 1"
_COUNT = "an integer greater than or equal to 0"
_BOOLEAN = "one of the following: 'true', 'false'"
_FORCE_DENSE = Rule(_boolean, _BOOLEAN, "true")

PCA: Mapping[str, Rule] = {
    "feature_dim": Rule(_integer(1), _POSITIVE, None),
    "mini_batch_size": Rule(_integer(1), _POSITIVE, None),
    "num_components": Rule(_integer(1), _POSITIVE, None),
    "algorithm_mode": Rule(
        _one_of("regular", "randomized"), "one of the following: 'regular', 'randomized'", "regular"
    ),
    "extra_components": Rule(_extra_components, "-1 or an integer greater than or equal to 0", "-1"),
    "subtract_mean": Rule(_boolean, _BOOLEAN, "true"),
    "force_dense": _FORCE_DENSE,
}
KMEANS: Mapping[str, Rule] = {
    "feature_dim": Rule(_integer(1), _POSITIVE, None),
    "k": Rule(_integer(2), "an integer greater than or equal to 2", None),
    "epochs": Rule(_integer(1), _POSITIVE, "1"),
    "eval_metrics": Rule(_metrics, "a JSON list of 'msd' and 'ssd'", '["msd"]'),
    "extra_center_factor": Rule(_or_auto(_integer(1)), f"'auto' or {_POSITIVE}", "auto"),
    "half_life_time_size": Rule(_integer(0), _COUNT, "0"),
    "init_method": Rule(_one_of("random", "kmeans++"), "one of the following: 'random', 'kmeans++'", "random"),
    "local_lloyd_init_method": Rule(
        _one_of("random", "kmeans++"), "one of the following: 'random', 'kmeans++'", "kmeans++"
    ),
    "local_lloyd_max_iter": Rule(_integer(1), _POSITIVE, "300"),
    "local_lloyd_num_trials": Rule(_or_auto(_integer(1)), f"'auto' or {_POSITIVE}", "auto"),
    "local_lloyd_tol": Rule(_number, "a number greater than or equal to 0", "0.0001"),
    "mini_batch_size": Rule(_integer(1), _POSITIVE, "5000"),
    "force_dense": _FORCE_DENSE,
}


def read(rules: Mapping[str, Rule], provided: Mapping[str, str]) -> dict[str, Any]:
    """Validate a job's hyperparameters and add the defaults.

    Parameters
    ----------
    rules
        `PCA` or `KMEANS`.
    provided
        The job's HyperParameters. Names with a leading underscore are internal to the containers, and are ignored.

    Returns
    -------
    dict
        Every hyperparameter, typed; `auto` is None.

    Raises
    ------
    TrainingError
        If a name is unknown, a required one is missing, or a value is not allowed; it is a ClientError.
    """
    for name in provided:
        if name not in rules and not name.startswith("_"):
            raise client_error(
                f"Additional hyperparameters are not allowed ('{name}' was unexpected) (caused by ValidationError)"
            )
    values = {}
    for name, rule in rules.items():
        text = provided.get(name, rule.default)
        if text is None:
            raise client_error(f"'{name}' is a required hyperparameter (caused by ValidationError)")
        try:
            values[name] = rule.read(text)
        except (ValueError, TypeError):
            raise client_error(
                f"The value '{text}' is not valid for the '{name}' hyperparameter which expects {rule.allowed} "
                "(caused by ValidationError)"
            ) from None
    return values
