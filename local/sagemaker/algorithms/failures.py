"""How a container says that it can't go on: the reason becomes the job's FailureReason."""


class TrainingFailure(Exception):
    """Ends the job as Failed. `str()` is the reason, with its kind (ClientError, AlgorithmError) in front."""


def client_error(text: str) -> TrainingFailure:
    """The user's request or data is at fault."""
    return TrainingFailure(f"ClientError: {text}, exit code: 2")


def algorithm_error(text: str) -> TrainingFailure:
    """The algorithm can't work with what it got."""
    return TrainingFailure(f"AlgorithmError: {text}, exit code: 1")
