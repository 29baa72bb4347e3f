"""An AWS on a laptop: ministack, the SageMaker that it lacks, faults to inject, and a record of permissions."""
