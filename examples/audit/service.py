"""A service with one route that was forgotten: `GET /reports`."""

from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI
from fastapi.staticfiles import StaticFiles

from jwt_deps import CurrentUser, protected_router, public, require_scopes

__all__ = ["app"]

orders = APIRouter(prefix="/orders", tags=["orders"])


@orders.get("")
async def list_orders(user: Annotated[CurrentUser, Depends()]) -> list[str]:
    """List the orders of the token's user."""
    return [f"an order of {user.id}"]


@orders.delete("/{order_id}", dependencies=[Depends(require_scopes("orders:write"))])
async def cancel_order(order_id: str) -> None:
    """Cancel an order."""


@orders.get("/health")
@public
async def health() -> dict[str, str]:
    """Report that the service is up."""
    return {"status": "ok"}


reports = APIRouter(prefix="/reports", tags=["reports"])


@reports.get("")
async def read_reports() -> list[str]:
    """List the reports of all users."""
    return ["turnover"]


app = FastAPI(docs_url=None, redoc_url=None)
app.include_router(protected_router(orders))
app.include_router(reports)
app.mount("/static", StaticFiles(directory=".", check_dir=False))
