"""An AgentOS that takes its users from tokens, without a JWT middleware."""
