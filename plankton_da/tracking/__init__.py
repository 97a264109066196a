"""MLflow: runs, the model registry and the model that MLflow serves."""
