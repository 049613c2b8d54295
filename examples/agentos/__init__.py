"""How does a real AgentOS take its users from tokens, without a JWT middleware?"""
