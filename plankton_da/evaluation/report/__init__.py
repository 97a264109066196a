"""Pictures of a model's work, as PNG bytes."""
