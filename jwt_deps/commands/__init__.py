"""What does a day with tokens need? Commands that mint, make keys, inspect and show settings."""
