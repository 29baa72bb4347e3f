"""The embedded AWS's SageMaker: control plane, runtime, and reimplementations of the built-in PCA and k-means."""
