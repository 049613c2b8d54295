"""What does jwt_deps look like in a program? Complete ones, and the tests run every one of them."""
