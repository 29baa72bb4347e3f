"""The errors that end a training job as Failed; the message becomes the job's FailureReason."""


class TrainingError(Exception):
    """The job fails. The message is the reason, preceded by its kind (ClientError or AlgorithmError)."""


def client_error(text: str) -> TrainingError:
    """Return an error that is caused by the user's request or data."""
    return TrainingError(f"ClientError: {text}, exit code: 2")


def algorithm_error(text: str) -> TrainingError:
    """Return an error that is caused by the algorithm, which cannot process the data."""
    return TrainingError(f"AlgorithmError: {text}, exit code: 1")
