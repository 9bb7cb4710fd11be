"""The mirror of records in MLflow."""
