"""Accounts, and being logged in with one."""
from __future__ import annotations

import time

from flask import Blueprint, Response, request
from msgspec import UNSET

from hotpath.chat.auth import new_token
from hotpath.chat.store import ChangeUser, CreateSession, CreateUser, DeactivateUser, EndSession

from .answers import answer, nothing
from .bodies import Login, NewUser, UserChange, body, is_name
from .problems import Refusal, invalid
from .queries import Query
from .service import Service
from .sessions import SESSION_S, Who, cookie

WRONG_LOGIN = "no such name and password"


def blueprint(service: Service) -> Blueprint:
    """The routes of users and sessions."""
    users = Blueprint("users", __name__, url_prefix="/api")
    sessions = service.sessions

    @users.post("/users")
    def create_user() -> Response:
        who = sessions.optional()
        new = body(NewUser)
        _may_register(service, who)
        password_hash = service.hashing.call(service.hasher.hash, new.password)
        made = CreateUser(name=new.name, display=new.display or new.name, password_hash=password_hash,
                          by=None if who is None else who.id, open=service.config.registration == "open")
        return answer(service.write(made), 201)

    @users.post("/login")
    def log_in() -> Response:
        said = body(Login)
        # MySQL compares without blanks at the end: a name with some more must not be a fresh start for a guesser.
        name = said.name if is_name(said.name) else ""
        service.login_limit.take(f"{request.environ['REMOTE_ADDR']} {name}")
        row = service.read(service.reader.login_row, name)
        kept = row[1] if row is not None and row[0]["active"] else None
        # As long for a name that nobody has: the answer must not tell which exist.
        if not service.hashing.call(service.hasher.verify, said.password, kept) or row is None:
            raise Refusal(401, WRONG_LOGIN)
        token, token_hash = new_token()
        expires_ms = int((time.time() + SESSION_S) * 1000)
        service.write(CreateSession(user=row[0]["id"], token_hash=token_hash, expires_at=expires_ms, checked=row[1]))
        response = answer({"token": token, "expires_at": expires_ms, "user": row[0]})
        response.headers["Set-Cookie"] = cookie(token, max_age_s=SESSION_S, is_secure=service.is_secure,
                                                path=service.cookie_path)
        return response

    @users.post("/logout")
    def log_out() -> Response:
        who = sessions.required()
        service.write(EndSession(session=who.session))
        sessions.drop(session=who.session)
        response = nothing()
        response.headers["Set-Cookie"] = cookie("", max_age_s=0, is_secure=service.is_secure,
                                                path=service.cookie_path)
        return response

    @users.get("/me")
    def show_me() -> Response:
        who = sessions.required()
        return answer({"user": who.user, "epoch": service.read(service.database.epoch)})

    @users.get("/users")
    def list_users() -> Response:
        sessions.required()
        query = Query("prefix", "after", "limit")
        prefix = query.text("prefix", longest=32) or ""
        after = query.integer("after") or 0
        limit = query.limit(50, 200)
        query.check()
        return answer({"users": service.read(service.reader.users, prefix, after, limit)})

    @users.get("/users/<id:user>")
    def show_user(user: int) -> Response:
        sessions.required()
        return answer(service.read(service.reader.user, user))

    @users.patch("/users/<id:user>")
    def change_user(user: int) -> Response:
        who = sessions.required()
        change = body(UserChange)
        password_hash = None if change.password is UNSET else _new_password_hash(service, who, user, change)
        display = None if change.display is UNSET else change.display
        changed = service.write(ChangeUser(by=who.id, user=user, display=display, password_hash=password_hash,
                                           keep_session=who.session))
        sessions.drop(user=user)
        return answer(changed)

    @users.delete("/users/<id:user>")
    def deactivate_user(user: int) -> Response:
        who = sessions.required()
        service.write(DeactivateUser(by=who.id, user=user))
        sessions.drop(user=user)
        return nothing()

    return users


def _may_register(service: Service, who: Who | None) -> None:
    """Before a hash is computed for them: may they? The transaction asks again. Raises Refusal 401 or 403."""
    if service.config.registration == "open" or (who is not None and who.is_admin):
        return
    if not service.read(service.reader.users, "", 0, 1):
        return      # the first user ever
    if who is None:
        raise Refusal(401, "only admins make accounts here: log in")
    raise Refusal(403, "only admins make accounts here")


def _new_password_hash(service: Service, who: Who, user: int, change: UserChange) -> str:
    if who.id != user:
        raise Refusal(403, "a password is changed by whose it is")
    if change.old_password is UNSET:
        raise invalid(("old_password", "required along with password"))
    name = str(who.user["name"])
    # A guess at the old one is a guess like at a login.
    service.login_limit.take(f"{request.environ['REMOTE_ADDR']} {name}")
    row = service.read(service.reader.login_row, name)
    if not service.hashing.call(service.hasher.verify, change.old_password, None if row is None else row[1]):
        raise Refusal(403, "old_password is wrong")
    return service.hashing.call(service.hasher.hash, change.password)  # type: ignore[arg-type]
