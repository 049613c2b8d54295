"""A test suite that uses `jwt_deps.testing`: run `pytest examples/testing`."""
