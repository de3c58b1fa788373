"""The studies that come with the package: their summaries in one list, and each file for itself."""
from __future__ import annotations

from pathlib import Path

import msgspec

from hotpath.core.serve import Request, Response, Router
from hotpath.core.serve.files import Files
from hotpath.core.serve.pages import headers, picture_headers

FOLDER = Path(__file__).parents[1] / "study" / "shipped"
SUMMARY = "summary.json"


class Study(msgspec.Struct):
    """One of them; `plots` are files beside its summary."""

    name: str
    summary: msgspec.Raw
    plots: list[str]


def shipped(folder: Path) -> list[Study]:
    """Of each folder within that has a summary, by name."""
    return [Study(one.name, msgspec.Raw((one / SUMMARY).read_bytes()), sorted(path.name for path in one.glob("*.svg")))
            for one in sorted(folder.iterdir()) if (one / SUMMARY).exists()] if folder.exists() else []


def add_study(app: Router, folder: Path = FOLDER) -> None:
    """Add `/study/index.json` and the files."""
    studies = {"studies": shipped(folder)}
    files = Files(str(folder))

    def index(request: Request) -> Response:
        return Response.json(studies, headers=headers())

    def file(request: Request, name: str, file: str) -> Response:
        response = files(request, f"{name}/{file}")
        for field, value in picture_headers():
            response.add_header(field, value)
        return response

    app.add("GET", "/study/index.json", index)
    app.add("GET", "/study/{name}/{file}", file)
