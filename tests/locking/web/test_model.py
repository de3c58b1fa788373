"""Items and their locks behave as a dict would that knew their rules: any requests, in any order."""
from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from tests.clients import Answer, Client
from tests.locking.web.servers import Server, asked, conditions, problem_of
from tests.waiting import wait_for

TEXTS = st.sampled_from(["a", "b", "\U0001f512", " "])
# How a condition is made of the current version: None says nothing.
MATCHES = st.sampled_from(["current", "*", "old", "next", "weak", "list", None])
# How a token is made of the newest one.
TOKENS = st.sampled_from(["newest", "newest", "next", "first", None])


@dataclass
class Known:
    """An item of the model."""

    title: str
    body: str
    version: int = 1
    owner: str | None = None        # who holds its lock
    token: int = 0                  # the newest
    tokens: list[int] = field(default_factory=list)

    def match(self, how: str | None) -> tuple[str | None, bool]:
        """If-Match, and whether it holds."""
        n = self.version
        return {"current": (f'"v{n}"', True), "*": ("*", True), "old": (f'"v{n - 1}"', False),
                "next": (f'"v{n + 1}"', False), "weak": (f'W/"v{n}"', False), "list": (f'"x", "v{n}"', True),
                None: (None, False)}[how]

    def sent(self, how: str | None) -> int | None:
        """A token."""
        return {"newest": self.token, "next": self.token + 1, "first": self.tokens[0] if self.tokens else 0,
                None: None}[how]

    def is_holders(self, token: int | None) -> bool:
        """Whether a write with it may be."""
        return token == (self.token if self.owner is not None else None)


class Model(RuleBasedStateMachine):
    """What the server should answer."""

    server: Server
    items = Bundle("items")

    @initialize()
    def begin(self) -> None:
        self.client = Client(self.server.address, patience_s=60)
        self.known: dict[str, Known] = {}
        self.gone: list[str] = []

    def teardown(self) -> None:
        if hasattr(self, "client"):
            # So that the next one's listings are short.
            for item, known in self.known.items():
                self.ask("DELETE", item, None, "*", known.token if known.owner is not None else None)
            self.client.close()

    def ask(self, method: str, target: str, body: object = None, match: str | None = None,
            token: int | None = None) -> Answer:
        return asked(self.client, method, target, body, conditions(match, None if token is None else str(token)))

    @rule(target=items, title=TEXTS, body=TEXTS)
    def make(self, title: str, body: str) -> str:
        answer = self.ask("POST", "/items", {"title": title, "body": body})
        item = answer.value("location")
        assert answer.status == 201
        assert item not in {None, *self.known, *self.gone}
        self.known[item] = Known(title, body)
        return item

    def refused(self, item: str, answer: Answer, match: str | None, holds: bool, token: int | None) -> bool:
        """Whether it had to be, and was, for the right reason."""
        known = self.known[item]
        if match is None:
            problem_of(answer, 428)
        elif not holds:
            assert problem_of(answer, 412)["version"] == known.version
        elif not known.is_holders(token):
            assert problem_of(answer, 423).get("owner") == known.owner
            return True
        else:
            return False
        assert answer.value("etag") == f'"v{known.version}"'
        return True

    @rule(item=items, title=TEXTS, body=TEXTS, how=MATCHES, which=TOKENS)
    def put(self, item: str, title: str, body: str, how: str | None, which: str | None) -> None:
        known = self.known[item]
        (match, holds), token = known.match(how), known.sent(which)
        answer = self.ask("PUT", item, {"title": title, "body": body}, match, token)
        if not self.refused(item, answer, match, holds, token):
            assert answer.status == 200
            known.title, known.body, known.version = title, body, known.version + 1
            assert answer.value("etag") == f'"v{known.version}"'

    @rule(item=consumes(items), how=MATCHES, which=TOKENS)
    def delete(self, item: str, how: str | None, which: str | None) -> None:
        known = self.known[item]
        (match, holds), token = known.match(how), known.sent(which)
        answer = self.ask("DELETE", item, None, match, token)
        if self.refused(item, answer, match, holds, token):
            answer = self.ask("DELETE", item, None, "*", known.token if known.owner is not None else None)
        assert answer.status == 204
        del self.known[item]
        self.gone.append(item)

    @rule(item=items, owner=TEXTS)
    def lock(self, item: str, owner: str) -> None:
        known = self.known[item]
        answer = self.ask("POST", f"{item}/lock", {"owner": owner, "ttl": 3600})
        if known.owner is not None:
            assert problem_of(answer, 423)["owner"] == known.owner
            return
        assert answer.status == 201
        token = answer.json()["token"]
        assert token > known.token
        known.owner, known.token = owner, token
        known.tokens.append(token)

    @rule(item=items)
    def lock_for_no_time(self, item: str) -> None:
        known = self.known[item]
        if known.owner is None:
            answer = self.ask("POST", f"{item}/lock", {"owner": "late", "ttl": 0.001})
            assert answer.status == 201
            known.token = answer.json()["token"]
            known.tokens.append(known.token)
            wait_for(lambda: self.ask("GET", item).json()["lock"] is None, "its end")

    @rule(item=items, which=TOKENS, method=st.sampled_from(["PUT", "DELETE"]))
    def renew_or_release(self, item: str, which: str | None, method: str) -> None:
        known = self.known[item]
        token = known.sent(which)
        answer = self.ask(method, f"{item}/lock", None, None, token)
        if token is None:
            problem_of(answer, 428)
        elif known.owner is None or token != known.token:
            assert problem_of(answer, 423).get("owner") == known.owner
        else:
            assert answer.status == 204
            if method == "DELETE":
                known.owner = None

    @invariant()
    def it_shows_what_we_know(self) -> None:
        told = {f"/items/{item['id']}": item for item in self.ask("GET", "/items").json()["items"]}
        for item, known in self.known.items():
            shown = told[item]
            assert (shown["title"], shown["body"], shown["version"]) == (known.title, known.body, known.version)
            assert (shown["lock"] and shown["lock"]["owner"]) == known.owner
        assert not told.keys() & set(self.gone)

    @invariant()
    def what_is_gone_stays_gone(self) -> None:
        for item in self.gone[-1:]:
            problem_of(self.ask("GET", item), 404)
            problem_of(self.ask("PUT", item, {"title": "t", "body": ""}), 404)
            problem_of(self.ask("PUT", f"{item}/lock"), 404)


def test_any_requests_in_any_order(served):
    class Here(Model):
        server = served

    run_state_machine_as_test(Here, settings=settings(
        max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)))
