"""SageMaker's formats: recordIO, MXNet's NDArray files, model artifacts and request bodies."""
