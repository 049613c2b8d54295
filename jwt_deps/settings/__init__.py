"""What an operator writes: the settings, from code and from the environment."""
