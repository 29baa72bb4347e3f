"""How a container says that it can't go on: the reason becomes the job's FailureReason."""


class TrainingError(Exception):
    """Ends the job as Failed. `str()` is the reason, with its kind (ClientError, AlgorithmError) in front."""


def client_error(text: str) -> TrainingError:
    """Return the error of a user whose request or data is at fault."""
    return TrainingError(f"ClientError: {text}, exit code: 2")


def algorithm_error(text: str) -> TrainingError:
    """Return the error of an algorithm that can't work with what it got."""
    return TrainingError(f"AlgorithmError: {text}, exit code: 1")
