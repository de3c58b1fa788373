"""An HTTP/1.1 server: routes, tasks, a master and its workers."""
from .config import ServeConfig
from .problem import RequestError, problem
from .request import Request
from .response import FileResponse, Response
from .router import Router
from .service import run, serve_command

__all__ = ["FileResponse", "Request", "RequestError", "Response", "Router", "ServeConfig", "problem", "run", "serve_command"]
