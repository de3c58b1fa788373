"""Who is online, against a model that knows everything at once."""
from __future__ import annotations

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from hotpath.chat.gateway.presence import FULL_EVERY_S, SILENT_S, News, Presence

USERS = st.integers(1, 4)
GATEWAYS = st.sampled_from(["a", "b"])
STATES = st.sampled_from(["online", "away", "offline"])
WATCHERS = st.sampled_from(["w1", "w2", "w3"])
RANK = ["offline", "away", "online"]


class Gateways(RuleBasedStateMachine):
    """Two gateways that tell each other; news of a delta may be lost, and is right again with the next full one."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.gateways = {name: Presence[str](name, "boot") for name in "ab"}
        self.own = {name: dict.fromkeys(range(1, 5), "offline") for name in "ab"}
        self.watched: dict[str, dict[str, tuple[int, ...]]] = {"a": {}, "b": {}}
        self.seen: dict[str, dict[str, dict[int, str]]] = {"a": {}, "b": {}}

    @rule(name=GATEWAYS, user=USERS, state=STATES)
    def change(self, name, user, state):
        self.gateways[name].set_own(user, state)
        self.own[name][user] = state

    @rule(name=GATEWAYS, watcher=WATCHERS, users=st.lists(USERS, unique=True))
    def watch(self, name, watcher, users):
        self.watched[name][watcher] = tuple(users)
        self.seen[name][watcher] = dict(self.gateways[name].watch(watcher, tuple(users)))
        assert set(self.seen[name][watcher]) == set(users)

    @rule(name=GATEWAYS, watcher=WATCHERS)
    def unwatch(self, name, watcher):
        self.gateways[name].unwatch(watcher)
        self.watched[name].pop(watcher, None)
        self.seen[name].pop(watcher, None)

    @rule(name=GATEWAYS, lost=st.booleans())
    def tell(self, name, lost):
        self.now_s += 0.2
        news = self.gateways[name].news(self.now_s)
        if news is not None and not lost:
            self.hear(name, news)

    def hear(self, name, news):
        wire = msgspec.json.encode(news)
        for gateway in self.gateways.values():
            gateway.hear(msgspec.json.decode(wire, type=News, strict=False), self.now_s)

    @rule(name=GATEWAYS)
    def read(self, name):
        for watcher, states in self.gateways[name].due().items():
            for user, state in states.items():
                assert user in self.watched[name][watcher]
                self.seen[name][watcher][user] = state

    @rule()
    def all_is_told(self):
        self.now_s += FULL_EVERY_S + 0.1
        for name in "ab":
            self.hear(name, self.gateways[name].news(self.now_s))
            self.gateways[name].expire(self.now_s)
        for name in "ab":
            self.read(name)
            for user in range(1, 5):
                best = max((self.own[one][user] for one in "ab"), key=RANK.index)
                assert self.gateways[name].state_of(user) == best
            for watcher, users in self.watched[name].items():
                assert self.seen[name][watcher] == {user: self.gateways[name].state_of(user) for user in users}

    @rule(name=GATEWAYS)
    def silence(self, name):
        self.now_s += SILENT_S + 0.1
        self.gateways[name].expire(self.now_s)
        for user in range(1, 5):
            assert self.gateways[name].state_of(user) == self.own[name][user]

    @invariant()
    def nothing_is_kept_for_nobody(self):
        for name, gateway in self.gateways.items():
            needed = {user for users in self.watched[name].values() for user in users}
            assert set(gateway._watchers) == set(gateway._told) == needed
            assert gateway._dirty <= needed


TestGateways = Gateways.TestCase


def test_a_gateway_that_started_anew_has_nobody_until_it_says_so():
    presence = Presence[str]("a", "1")
    presence.hear(News("b", "1", {1: "online", 2: "away"}), 0)
    presence.hear(News("b", "2", {2: "online"}), 1)
    assert (presence.state_of(1), presence.state_of(2)) == ("offline", "online")


def test_what_comes_back_to_us_is_not_news():
    presence = Presence[str]("a", "1")
    presence.hear(News("a", "0", {1: "online"}), 0)
    assert presence.state_of(1) == "offline"
