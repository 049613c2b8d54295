"""What does the toolkit look like at work? A small API, three tokens and a scenario."""
