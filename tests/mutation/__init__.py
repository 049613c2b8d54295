"""Change the code of a room in one place at a time, and see whether its tests notice.

    python -m tests.mutation jose [--sample 100] [--seed 1]

A mutant that the tests do not notice survives. `survivors.toml` says of those that are known why
they change nothing; the others are printed, and end the command with code 1.
"""
