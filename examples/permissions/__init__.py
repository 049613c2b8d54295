"""Tenants, roles, resources, an administrator and programs."""
