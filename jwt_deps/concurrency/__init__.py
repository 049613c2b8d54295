"""Single flights, locks, limits and bounded maps."""
