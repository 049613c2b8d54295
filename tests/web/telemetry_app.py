"""The guarded application of the telemetry tests, with its own SDK.

    python -m tests.web.telemetry_app SETTINGS.json

It prints its port, and ends with its standard input. `/metrics` is what Prometheus would read.
"""

import json
import socket
import sys
from pathlib import Path
from threading import Thread

import uvicorn
from fastapi import APIRouter, Depends, FastAPI, Response
from opentelemetry import metrics
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import REGISTRY, generate_latest

from jwt_deps import JWTSettings, protected_router, require_scopes
from tests.web.serving import including, who


def application(settings: JWTSettings) -> FastAPI:
    """Return an application whose every route but `/metrics` is guarded."""
    router = APIRouter()

    router.get("/me")(who)

    @router.get("/admin", dependencies=[Depends(require_scopes("admin"))])
    async def admin() -> None: ...

    app = including(protected_router(router, settings=settings))

    @app.get("/metrics")
    async def read() -> Response:
        return Response(generate_latest(REGISTRY), media_type="text/plain")

    return app


def main() -> None:
    """Serve until standard input ends."""
    metrics.set_meter_provider(MeterProvider(metric_readers=[PrometheusMetricReader()]))
    settings = JWTSettings(**json.loads(Path(sys.argv[1]).read_text()))
    server = uvicorn.Server(uvicorn.Config(application(settings), log_level="warning"))
    listening = socket.create_server(("127.0.0.1", 0))
    sys.stdout.write(f"{listening.getsockname()[1]}\n")
    sys.stdout.flush()

    def until_the_end() -> None:
        sys.stdin.read()
        server.should_exit = True

    Thread(target=until_the_end, daemon=True).start()
    server.run([listening])


if __name__ == "__main__":
    main()
