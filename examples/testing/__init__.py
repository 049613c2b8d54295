"""How does an application's own suite use `jwt_deps.testing`? Run `pytest examples/testing`."""
