"""Channels, and who is in them."""
from __future__ import annotations

from flask import Blueprint, Response
from msgspec import UNSET

from hotpath.chat.store import ChangeChannel, CreateChannel, DeleteChannel, Join, Leave, MarkRead, OpenDm

from .answers import answer, nothing
from .bodies import ChannelChange, Membership, NewDm, ReadMarker, body, channel_body
from .queries import BEHIND_ALL, Query
from .service import Service


def blueprint(service: Service) -> Blueprint:
    """The routes of channels and memberships."""
    channels = Blueprint("channels", __name__, url_prefix="/api/channels")
    sessions = service.sessions

    @channels.post("")
    def create_channel() -> Response:
        who = sessions.required()
        new = channel_body()
        if isinstance(new, NewDm):
            dm, created = service.make(OpenDm(by=who.id, members=new.members))
            return answer(dm, 201 if created else 200)
        made = CreateChannel(by=who.id, kind=new.kind, name=new.name, topic=new.topic, members=new.members)
        return answer(service.write(made), 201)

    @channels.get("")
    def list_channels() -> Response:
        who = sessions.required()
        query = Query("scope")
        scope = query.choice("scope", ("mine", "public"))
        query.check()
        return answer({"channels": service.read(service.reader.channels, who.id, scope)})

    @channels.get("/<id:channel>")
    def show_channel(channel: int) -> Response:
        who = sessions.required()
        return answer(service.read(service.reader.channel, who.id, channel))

    @channels.patch("/<id:channel>")
    def change_channel(channel: int) -> Response:
        who = sessions.required()
        change = body(ChannelChange)
        return answer(service.write(ChangeChannel(
            by=who.id, channel=channel,
            name=None if change.name is UNSET else change.name,
            topic=None if change.topic is UNSET else change.topic,
            archived=None if change.archived is UNSET else change.archived)))

    @channels.delete("/<id:channel>")
    def delete_channel(channel: int) -> Response:
        who = sessions.required()
        service.write(DeleteChannel(by=who.id, channel=channel))
        return nothing()

    @channels.get("/<id:channel>/members")
    def list_members(channel: int) -> Response:
        who = sessions.required()
        return answer({"members": service.read(service.reader.members, who.id, channel)})

    @channels.put("/<id:channel>/members/<id:user>")
    def add_member(channel: int, user: int) -> Response:
        who = sessions.required()
        role = body(Membership, optional=True).role
        member, created = service.make(Join(
            by=who.id, channel=channel, user=user, role=None if role is UNSET else role))
        return answer(member, 201 if created else 200)

    @channels.delete("/<id:channel>/members/<id:user>")
    def remove_member(channel: int, user: int) -> Response:
        who = sessions.required()
        service.write(Leave(by=who.id, channel=channel, user=user))
        return nothing()

    @channels.put("/<id:channel>/read")
    def mark_read(channel: int) -> Response:
        who = sessions.required()
        marker = body(ReadMarker)
        seq = min(marker.seq, BEHIND_ALL)
        return answer(service.write(MarkRead(user=who.id, channel=channel, seq=seq, back=marker.back)))

    return channels
