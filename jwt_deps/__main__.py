"""`python -m jwt_deps`: the command line."""

from jwt_deps.cli import main

if __name__ == "__main__":
    main(prog_name="jwt-deps")
