"""An HTTP/1.1 server: routes, tasks, a master and its workers.

    from hotpath.core.serve import Request, Response, Router, problem, run
    from hotpath.core.tasks import sleep

    app = Router()
    items = {1: "a pen"}

    @app.route("GET", "/v1/items/{id:int}")
    def item(request: Request, id: int) -> Response:
        if id not in items:
            return problem(404, detail=f"no item {id}")
        sleep(0.01)             # others are served meanwhile
        return Response.json({"id": id, "name": items[id]}, headers={"Cache-Control": "no-store"})

    if __name__ == "__main__":
        raise SystemExit(run(app, listen="127.0.0.1:8000", workers=2))

`router.py` collects routes and `table` looks them up, `hooks.py` is what else an application does; `connection` is a
client as a C struct, `exchange` the task of one request; `sending` knows slow readers; `service.py` is the command.
"""
from .config import ServeConfig
from .options import Options
from .outbox import Block
from .problem import RequestError, problem
from .request import Headers, Request
from .response import FileResponse, Response
from .router import Router
from .service import run, serve_command
from .websocket import WebSocket

__all__ = ["Block", "FileResponse", "Headers", "Options", "Request", "RequestError", "Response", "Router",
           "ServeConfig", "WebSocket", "problem", "run", "serve_command"]
