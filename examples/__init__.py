"""Complete programs with jwt_deps; the tests run all of them."""
