"""Does a real AgentOS know its users by their tokens? Both examples, asked over HTTP."""
