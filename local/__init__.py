"""The embedded AWS: ministack, the SageMaker it lacks, and the command line that runs the stack in it."""
