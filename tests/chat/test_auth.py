"""Passwords, tokens, the shared secret, tickets."""
import os
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotpath.chat.auth import (
    SECRET_FILE,
    TICKET_S,
    BadTicket,
    Hasher,
    Ticket,
    new_ticket,
    new_token,
    open_ticket,
    secret,
    sign_ticket,
    token_hash,
)
from hotpath.core.errors import ConfigError

KEY = bytes(range(32))
NOW_S = 1_800_000_000.0


@pytest.fixture(scope="module")
def hasher():
    return Hasher()


def test_a_password_is_known_again_by_its_hash_alone(hasher):
    kept = hasher.hash("correct horse")
    assert kept.startswith("$argon2id$v=19$m=65536,")
    assert "correct" not in kept
    assert hasher.verify("correct horse", kept)
    assert not hasher.verify("correct hors", kept)
    assert hasher.hash("correct horse") != kept, "the same salt twice"


@pytest.mark.parametrize("kept", [None, "", "plain", "$argon2id$v=19$m=65536,t=1,p=1$AAAA$BBBB"])
def test_nobody_gets_in_with_a_hash_that_is_none(hasher, kept):
    assert not hasher.verify("correct horse", kept)


def test_for_a_name_that_nobody_has_a_hash_is_computed_all_the_same(hasher, monkeypatch):
    asked = []
    monkeypatch.setattr(hasher, "_argon2", type("Spy", (), {"verify": lambda self, kept, word: asked.append(kept)})())
    assert not hasher.verify("anything", None)
    assert asked == [hasher._nobody]


def test_a_token_is_random_and_kept_as_its_hash():
    token, kept = new_token()
    assert kept == token_hash(token)
    assert len(kept) == 32
    assert len(token) == 43
    assert new_token() != (token, kept)


def test_any_text_has_a_token_hash():
    assert token_hash("\ud800\xff\0") != token_hash("")


def test_the_secret_is_made_once_and_is_ours_alone(tmp_path):
    first = secret(tmp_path)
    assert len(first) == 32
    assert secret(tmp_path) == first
    assert stat.S_IMODE((tmp_path / SECRET_FILE).stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == [SECRET_FILE]


def test_parts_that_start_together_agree_on_one_secret(tmp_path):
    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(lambda _: secret(tmp_path), range(64)))) == 1
    assert os.listdir(tmp_path) == [SECRET_FILE]


def test_a_secret_that_others_can_read_is_refused(tmp_path):
    secret(tmp_path)
    (tmp_path / SECRET_FILE).chmod(0o640)
    with pytest.raises(ConfigError, match=r"mode 0640 lets others read it; allowed: 0600"):
        secret(tmp_path)


@pytest.mark.parametrize("text", [b"", b"short\n", b"zz" * 32, b"\xff" * 64, b"ab" * 31, b"ab" * 400])
def test_a_file_that_holds_no_secret_is_refused(tmp_path, text):
    (tmp_path / SECRET_FILE).write_bytes(text)
    (tmp_path / SECRET_FILE).chmod(0o600)
    with pytest.raises(ConfigError, match="64 hexadecimal digits"):
        secret(tmp_path)


def opened(text, *, key=KEY, gateway="g1", nonce="b007", now_s=NOW_S):
    return open_ticket(key, text, gateway=gateway, nonce=nonce, now_s=now_s)


@given(user=st.integers(1, 2**63 - 1), session=st.integers(1, 2**63 - 1))
def test_a_ticket_says_what_was_signed(user, session):
    ticket = new_ticket(user, session, "g1", "b007", now_s=NOW_S)
    assert opened(sign_ticket(KEY, ticket)) == ticket
    assert ticket.expires_ms == (NOW_S + TICKET_S) * 1000


def test_a_ticket_fits_into_a_url_as_it_is():
    text = sign_ticket(KEY, new_ticket(2**63 - 1, 2**63 - 1, "g" * 16, "f" * 32, now_s=NOW_S))
    assert set(text) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-_")
    assert len(text) < 300


@pytest.mark.parametrize(("more", "why"), [
    ({"gateway": "g2"}, "for gateway g1, this is g2"),
    ({"nonce": "b008"}, "before its restart"),
    ({"now_s": NOW_S + TICKET_S}, "expired"),
    ({"key": bytes(32)}, "no ticket of ours"),
])
def test_a_ticket_is_for_one_gateway_one_process_and_thirty_seconds(more, why):
    text = sign_ticket(KEY, new_ticket(1, 2, "g1", "b007", now_s=NOW_S))
    with pytest.raises(BadTicket, match=why):
        opened(text, **more)


def test_a_ticket_is_good_until_its_last_moment():
    text = sign_ticket(KEY, new_ticket(1, 2, "g1", "b007", now_s=NOW_S))
    assert opened(text, now_s=NOW_S + TICKET_S - 0.001).user == 1


def test_no_letter_of_a_ticket_can_be_changed():
    text = sign_ticket(KEY, new_ticket(1, 2, "g1", "b007", now_s=NOW_S))
    for i, letter in enumerate(text):
        for other in ("0", "1", ".", "é", ""):
            if other != letter:
                with pytest.raises(BadTicket):
                    opened(text[:i] + other + text[i + 1:])


@given(st.text(max_size=400))
def test_whatever_is_no_ticket_is_a_bad_ticket(text):
    with pytest.raises(BadTicket):
        opened(text)


def test_a_signed_ticket_of_another_form_is_refused():
    from hotpath.chat import auth
    body = "2.1.2.3"
    with pytest.raises(BadTicket, match="another version"):
        opened(f"{body}.{auth._mac(KEY, body)}")


def test_a_name_with_a_dot_is_not_signed():
    with pytest.raises(ValueError, match="a dot"):
        sign_ticket(KEY, Ticket(1, 2, "g.1", "b", 3, "s"))


def test_no_two_tickets_are_the_same():
    assert new_ticket(1, 2, "g1", "b", now_s=NOW_S) != new_ticket(1, 2, "g1", "b", now_s=NOW_S)
