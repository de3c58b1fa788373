"""Run as a program, `crdt_flask.py PORT`: a dict behind Flask, on gevent's WSGI server, without an access log."""
from __future__ import annotations

import sys

from flask import Flask, Response, request
from gevent.pywsgi import WSGIServer

app = Flask(__name__)
cells: dict[str, bytes] = {}


@app.get("/kv/<path:key>")
def get(key: str) -> Response:
    """The value, or 404."""
    value = cells.get(key)
    if value is None:
        return Response(status=404)
    return Response(value, mimetype="application/octet-stream")


@app.put("/kv/<path:key>")
def put(key: str) -> Response:
    """Keep the value, in memory."""
    cells[key] = request.get_data()
    return Response(status=201)


if __name__ == "__main__":
    WSGIServer(("127.0.0.1", int(sys.argv[1])), app, log=None).serve_forever()
