"""Swagger UI at /api/docs, with its files served from here: the page works without the internet."""

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from swagger_ui_bundle import swagger_ui_path

PATH = "/api/docs"


def install(app: FastAPI) -> None:
    """Add the page and its files; neither stands in the OpenAPI document."""

    async def page(_: Request) -> Response:
        return get_swagger_ui_html(
            openapi_url="/api/openapi.json",
            title=f"{app.title}: documentation",
            swagger_js_url=f"{PATH}/assets/swagger-ui-bundle.js",
            swagger_css_url=f"{PATH}/assets/swagger-ui.css",
            swagger_favicon_url=f"{PATH}/assets/favicon-32x32.png",
        )

    app.mount(f"{PATH}/assets", StaticFiles(directory=swagger_ui_path), name="swagger-assets")
    app.add_route(PATH, page, include_in_schema=False)
