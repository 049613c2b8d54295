"""`jwt-deps conformance`: test any OAuth 2 resource server against the specifications."""
