"""`jwt-deps conformance`: ask any OAuth 2 resource server what the specifications ask of it."""
