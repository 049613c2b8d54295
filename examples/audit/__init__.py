"""A small service to audit."""
