"""What a model is shown of a long conversation."""
