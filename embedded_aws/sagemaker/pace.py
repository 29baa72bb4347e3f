"""The durations of training jobs and endpoint changes in the embedded SageMaker."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

# Durations of the recorded run of 2019-03-08, in seconds.
_RECORDED_TRAINING = 191.0
_RECORDED_PCA_HOSTING = 375.0
_RECORDED_KMEANS_HOSTING = 440.0


@dataclass(frozen=True)
class Pace:
    """The least seconds that each operation takes, regardless of its computation.

    A training job whose computation takes longer takes as long as its computation. `time_scale` is the number of
    seconds that represent one second on SageMaker, by which time limits such as `MaxRuntimeInSeconds` are multiplied.
    """

    pca_training: float = 0.3
    kmeans_training: float = 0.3
    pca_hosting: float = 0.3
    kmeans_hosting: float = 0.3
    updating: float = 0.3
    deleting: float = 0.1
    stopping: float = 0.1
    time_scale: float = 1.0

    @classmethod
    def recorded(cls, scale: float) -> Pace:
        """Return the recorded run's times, each multiplied by `scale`."""
        return cls(
            pca_training=_RECORDED_TRAINING * scale,
            kmeans_training=_RECORDED_TRAINING * scale,
            pca_hosting=_RECORDED_PCA_HOSTING * scale,
            kmeans_hosting=_RECORDED_KMEANS_HOSTING * scale,
            updating=_RECORDED_PCA_HOSTING * scale,
            deleting=5 * scale,
            stopping=10 * scale,
            time_scale=scale,
        )

    @classmethod
    def parse(cls, text: str) -> Pace:
        """Read a pace from one line.

        Parameters
        ----------
        text
            Empty (the fast default), `recorded*0.01`, or `name=seconds` pairs separated by commas. The names are this
            class's fields, and `training` and `hosting`, which apply to both algorithms.

        Raises
        ------
        ValueError
            If the text has another form; the message says what is allowed.
        """
        text = text.strip()
        if not text:
            return cls()
        if text.startswith("recorded"):
            _, _, scale = text.partition("*")
            return cls.recorded(_seconds("recorded", scale or "1"))
        names = [field.name for field in dataclasses.fields(cls)]
        values: dict[str, float] = {}
        for pair in text.split(","):
            name, separator, value = (part.strip() for part in pair.partition("="))
            targets = [f"pca_{name}", f"kmeans_{name}"] if name in ("training", "hosting") else [name]
            if not separator or any(target not in names for target in targets):
                raise ValueError(
                    f"pace {pair!r} is not understood: give recorded*<scale>, or <name>=<seconds> with a name of "
                    f"training, hosting, {', '.join(names)}"
                )
            values.update(dict.fromkeys(targets, _seconds(name, value)))
        return cls(**values)

    def to_text(self) -> str:
        """Return the pace in the form that :meth:`parse` reads."""
        return ",".join(f"{name}={value!r}" for name, value in dataclasses.asdict(self).items())

    def training(self, algorithm: str) -> float:
        """Return the seconds from a training job's creation to its completion."""
        return self.kmeans_training if algorithm == "kmeans" else self.pca_training

    def hosting(self, algorithm: str) -> float:
        """Return the seconds from an endpoint's creation until it is InService."""
        return self.kmeans_hosting if algorithm == "kmeans" else self.pca_hosting


def _seconds(name: str, value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise ValueError(f"pace {name}={value!r} is not a number of seconds from 0 up")
    return seconds
