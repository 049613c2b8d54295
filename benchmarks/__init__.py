"""What does the package promise in numbers, and does it hold here? Each module is a command."""
