"""FastAPI: dependencies, guards, routers, answers, OpenAPI, cookies, WebSockets."""
