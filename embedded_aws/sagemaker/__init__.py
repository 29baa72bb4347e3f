"""SageMaker as the embedded AWS has it: the control plane, the runtime and twins of the built-in PCA and k-means."""
