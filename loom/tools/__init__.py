"""What nodes reach the world with: tools of a model, commands, files."""
