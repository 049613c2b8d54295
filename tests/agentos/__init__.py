"""Both examples of AgentOS, tested over HTTP with tokens."""
