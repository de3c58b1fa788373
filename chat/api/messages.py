"""Messages: sent, read, changed, found."""
from __future__ import annotations

from flask import Blueprint, Response

from hotpath.chat.store import DeleteMessage, EditMessage, PostMessage, React

from .answers import answer, nothing, raw_answer
from .bodies import MAX_ID, MessageChange, NewMessage, body, check_text
from .queries import Query, emoji
from .service import Service

LONGEST_SEARCH = 200


def blueprint(service: Service) -> Blueprint:
    """The routes of messages."""
    messages = Blueprint("messages", __name__, url_prefix="/api")
    sessions = service.sessions
    longest = service.config.limits.text

    # What is said here counts against `limits.send`.

    @messages.post("/channels/<id:channel>/messages")
    def post_message(channel: int) -> Response:
        who = sessions.required()
        service.send_limit.take(str(who.id))
        new = body(NewMessage)
        check_text(new.text, longest)
        message, created = service.make(PostMessage(
            user=who.id, channel=channel, client_msg_id=new.client_msg_id, text=new.text, root=new.root))
        return answer(message, 201 if created else 200)

    @messages.get("/channels/<id:channel>/messages")
    def show_history(channel: int) -> Response:
        who = sessions.required()
        query = Query("before", "after", "around", "limit")
        query.at_most_one("before", "after", "around")
        before, after, around = (query.seq(name) for name in ("before", "after", "around"))
        limit = query.limit(50, 200)
        query.check()
        return answer(service.read(service.reader.history, who.id, channel, before=before, after=after, around=around,
                                   limit=limit))

    @messages.get("/channels/<id:channel>/events")
    def show_events(channel: int) -> Response:
        who = sessions.required()
        query = Query("after", "limit")
        after = query.seq("after") or 0
        limit = query.limit(200, 1000)
        query.check()
        frames, head = service.read(service.reader.events, who.id, channel, after=after, limit=limit)
        # Each frame is JSON already: the bytes that sockets get.
        return raw_answer(b'{"events":[%b],"head":%d}' % (b",".join(frames), head))

    @messages.patch("/messages/<id:message>")
    def edit_message(message: int) -> Response:
        who = sessions.required()
        service.send_limit.take(str(who.id))
        change = body(MessageChange)
        check_text(change.text, longest)
        return answer(service.write(EditMessage(user=who.id, message=message, text=change.text)))

    @messages.delete("/messages/<id:message>")
    def delete_message(message: int) -> Response:
        who = sessions.required()
        service.send_limit.take(str(who.id))
        service.write(DeleteMessage(user=who.id, message=message))
        return nothing()

    @messages.put("/messages/<id:message>/reactions/<string:name>")
    def add_reaction(message: int, name: str) -> Response:
        return react(message, name, on=True)

    @messages.delete("/messages/<id:message>/reactions/<string:name>")
    def remove_reaction(message: int, name: str) -> Response:
        return react(message, name, on=False)

    def react(message: int, name: str, *, on: bool) -> Response:
        who = sessions.required()
        service.send_limit.take(str(who.id))
        return answer(service.write(React(user=who.id, message=message, emoji=emoji(name), on=on)))

    @messages.get("/messages/<id:message>/thread")
    def show_thread(message: int) -> Response:
        who = sessions.required()
        query = Query("after", "limit")
        after = query.seq("after") or 0
        limit = query.limit(50, 200)
        query.check()
        return answer(service.read(service.reader.thread, who.id, message, after=after, limit=limit))

    @messages.get("/search")
    def search() -> Response:
        who = sessions.required()
        query = Query("q", "channel", "from", "before", "limit")
        query.require("q")
        words = query.text("q", longest=LONGEST_SEARCH) or ""
        channel, author, before = (query.integer(name, low=1, high=MAX_ID) for name in ("channel", "from", "before"))
        limit = query.limit(20, 100)
        query.check()
        hits = service.read(service.reader.search, who.id, words, channel=channel, from_=author, before=before,
                            limit=limit)
        return answer({"hits": hits})

    return messages
