"""Run as a program, `chat_flask.py PORT FILE`: a bare Flask route under gevent that commits a message to SQLite.

One INSERT and one synced COMMIT in the greenlet itself, no user, no channel, no log: what a POST costs at least.
"""
from __future__ import annotations

import socket
import sqlite3
import sys
import time

from flask import Flask, Response, jsonify, request
from gevent.pywsgi import WSGIServer

app = Flask(__name__)
database = sqlite3.connect(sys.argv[2], isolation_level=None)
database.execute("PRAGMA journal_mode = WAL")
database.execute("PRAGMA synchronous = FULL")
database.execute("CREATE TABLE messages (seq INTEGER PRIMARY KEY, channel INTEGER, client_msg_id TEXT UNIQUE, "
                 "text TEXT, at INTEGER)")


@app.post("/api/channels/<int:channel>/messages")
def post(channel: int) -> tuple[Response, int]:
    """Keep it, and say its number."""
    said = request.get_json()
    at = time.time_ns() // 1_000_000
    cursor = database.execute("INSERT INTO messages (channel, client_msg_id, text, at) VALUES (?, ?, ?, ?)",
                              (channel, said["client_msg_id"], said["text"], at))
    return jsonify(seq=cursor.lastrowid, channel=channel, client_msg_id=said["client_msg_id"], text=said["text"],
                   at=at), 201


def listening(port: int) -> socket.socket:
    """Without delay: gevent sends head and body apart, and a kept-alive client would wait 40 ms for the second."""
    listener = socket.create_server(("127.0.0.1", port), backlog=512)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setblocking(False)
    return listener


if __name__ == "__main__":
    WSGIServer(listening(int(sys.argv[1])), app, log=None).serve_forever()
