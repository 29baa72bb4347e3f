"""How long the embedded SageMaker takes: jobs and endpoints at a configurable pace."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

# What the recorded run of 2019-03-08 took, in seconds of wall time.
_RECORDED_TRAINING = 191.0
_RECORDED_PCA_HOSTING = 375.0
_RECORDED_KMEANS_HOSTING = 440.0


@dataclass(frozen=True)
class Pace:
    """Seconds that each thing takes here, whatever it computes.

    A training job that computes longer than its pace takes what it computes. `time_scale` is how many seconds here
    stand for one second of SageMaker: it shrinks a job's `MaxRuntimeInSeconds` and nothing else.
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
            class's fields, and `training`, `hosting` for both algorithms at once.

        Raises
        ------
        ValueError
            When the text is none of these; the message says what is allowed.
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
        """Return the line that `parse` reads back."""
        return ",".join(f"{name}={value!r}" for name, value in dataclasses.asdict(self).items())

    def training(self, algorithm: str) -> float:
        """Return a training job's seconds from creation to completion."""
        return self.kmeans_training if algorithm == "kmeans" else self.pca_training

    def hosting(self, algorithm: str) -> float:
        """Return an endpoint's seconds from creation to InService."""
        return self.kmeans_hosting if algorithm == "kmeans" else self.pca_hosting


def _seconds(name: str, value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise ValueError(f"pace {name}={value!r} is not a number of seconds from 0 up")
    return seconds
