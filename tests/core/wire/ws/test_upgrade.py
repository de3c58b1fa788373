"""The opening handshake: RFC 6455's example, strict reading of offers, and answers that fit them."""
from itertools import product

import pytest

from hotpath.core.errors import RemoteProtocolError
from hotpath.core.wire.ws.upgrade import (
    DeflateParameters,
    accept_deflate,
    accept_token,
    choose_subprotocol,
    is_key,
    judge_deflate,
    offer_deflate,
    read_subprotocols,
)

KEY = "dGhlIHNhbXBsZSBub25jZQ=="


def agreed(**parameters) -> DeflateParameters:
    return DeflateParameters(**parameters)


def test_the_example_of_the_rfc():
    assert accept_token(KEY) == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize(("key", "is_one"), [
    (KEY, True),
    ("AAAAAAAAAAAAAAAAAAAAAA==", True),
    ("", False),
    (KEY[:-1], False),
    (KEY + "=", False),
    ("dGhlIHNhbXBsZSBub25jZTE=", False),                # 17 bytes
    ("dGhlIHNhbXBsZSBub25jZTE2", False),                # 18 bytes
    ("dGhlIHNhbXBsZSBub25jZ===", False),
    ("dGhlIHNhbXBs ZSBub25jZQ=", False),
    ("dGhlIHNhbXBsZSBub25jZ-==", False),
    ("dGhlIHNhbXBsZSBub25jé===", False),
])
def test_a_key_is_sixteen_bytes_in_base64(key: str, is_one: bool):
    assert is_key(key) is is_one


@pytest.mark.parametrize(("value", "names"), [
    ("chat", ("chat",)),
    ("chat, superchat", ("chat", "superchat")),
    (" a ,\tb,,c ", ("a", "b", "c")),
    ("v1.x+y", ("v1.x+y",)),
])
def test_subprotocols_keep_the_order_of_the_client(value: str, names: tuple[str, ...]):
    assert read_subprotocols(value) == names


@pytest.mark.parametrize("value", ["", " ", ",", "a b", "a, b/c", "a, a", '"a"', "a;b", "é"])
def test_what_is_no_list_of_subprotocols_is_the_clients_error(value: str):
    with pytest.raises(RemoteProtocolError) as raised:
        read_subprotocols(value)
    assert raised.value.error_status_hint == 400


def test_the_first_known_subprotocol_is_chosen():
    assert choose_subprotocol(("a", "b", "c"), {"c", "b"}) == "b"
    assert choose_subprotocol(("a",), {"b"}) is None


@pytest.mark.parametrize(("offers", "parameters", "header"), [
    ("permessage-deflate", {}, ""),
    ("Permessage-Deflate", {}, ""),
    ("permessage-deflate; client_max_window_bits", {}, ""),
    ("permessage-deflate;client_max_window_bits=10", {"client_max_window_bits": 10}, "; client_max_window_bits=10"),
    ("permessage-deflate; client_max_window_bits=8", {"client_max_window_bits": 8}, "; client_max_window_bits=8"),
    ("permessage-deflate; server_max_window_bits=10", {"server_max_window_bits": 10}, "; server_max_window_bits=10"),
    ("permessage-deflate; server_max_window_bits=15", {}, "; server_max_window_bits=15"),
    ('permessage-deflate; server_max_window_bits="9"', {"server_max_window_bits": 9}, "; server_max_window_bits=9"),
    ('permessage-deflate ; server_max_window_bits = "1\\2"', {"server_max_window_bits": 12},
     "; server_max_window_bits=12"),
    ("permessage-deflate; server_no_context_takeover; client_no_context_takeover",
     {"server_no_context_takeover": True, "client_no_context_takeover": True},
     "; server_no_context_takeover; client_no_context_takeover"),
    # The next offer is looked at.
    ("permessage-deflate; server_max_window_bits=8, permessage-deflate", {}, ""),
    ("permessage-deflate; mystery, permessage-deflate; client_no_context_takeover",
     {"client_no_context_takeover": True}, "; client_no_context_takeover"),
    ("x-webkit-deflate-frame, permessage-deflate", {}, ""),
    ('x; a="permessage-deflate, permessage-deflate", permessage-deflate', {}, ""),
    ("; ;, permessage-deflate", {}, ""),
    (",, permessage-deflate ,", {}, ""),
    ("permessage-deflate; server_max_window_bits=12, permessage-deflate", {"server_max_window_bits": 12},
     "; server_max_window_bits=12"),
])
def test_the_first_offer_that_can_be_taken_is_taken(offers: str, parameters: dict, header: str):
    assert accept_deflate(offers) == (agreed(**parameters), "permessage-deflate" + header)


@pytest.mark.parametrize("rest", [
    "2", ";", "; =", " x", "; mystery", "; client_max_window_bits=", "; client_max_window_bits=7",
    "; client_max_window_bits=16", "; client_max_window_bits=08", "; client_max_window_bits=+9",
    "; client_max_window_bits=9.0", '; client_max_window_bits=""', '; client_max_window_bits="9 "',
    "; client_max_window_bits=٩", "; client_max_window_bits; client_max_window_bits=9", "; server_max_window_bits",
    "; server_max_window_bits=8", "; server_max_window_bits=16", "; server_max_window_bits=9; server_max_window_bits=9",
    "; server_no_context_takeover; server_no_context_takeover", "; server_no_context_takeover=1",
    '; client_no_context_takeover=""',
])
def test_an_offer_that_cannot_be_taken_is_declined(rest: str):
    assert accept_deflate("permessage-deflate" + rest) is None
    assert accept_deflate(f"permessage-deflate{rest}, permessage-deflate") == (agreed(), "permessage-deflate")


@pytest.mark.parametrize("offers", ["", "x", "permessage-deflat", 'permessage-deflate; x="9, permessage-deflate'])
def test_without_an_offer_nothing_is_agreed(offers: str):
    assert accept_deflate(offers) is None


def test_a_server_bounds_what_it_takes():
    wanted = agreed(server_no_context_takeover=True, client_no_context_takeover=True, server_max_window_bits=12,
                    client_max_window_bits=11)
    assert accept_deflate("permessage-deflate; client_max_window_bits", wanted) == (
        wanted, "permessage-deflate; server_no_context_takeover; client_no_context_takeover; "
        "server_max_window_bits=12; client_max_window_bits=11")
    taken = accept_deflate("permessage-deflate; server_max_window_bits=10", wanted)
    # It did not say that it understands the other parameter, so its windows may be the largest.
    assert taken is not None
    assert (taken[0].server_max_window_bits, taken[0].client_max_window_bits) == (10, 15)


def test_the_largest_window_is_what_zlib_can():
    taken = accept_deflate("permessage-deflate", agreed(server_max_window_bits=8))
    assert taken == (agreed(server_max_window_bits=9), "permessage-deflate; server_max_window_bits=9")


@pytest.mark.parametrize("bits", [0, 7, 16])
def test_a_window_that_does_not_exist_is_our_own_error(bits: int):
    with pytest.raises(ValueError, match="8 to 15"):
        DeflateParameters(server_max_window_bits=bits)
    with pytest.raises(ValueError, match="8 to 15"):
        DeflateParameters(client_max_window_bits=bits)


def test_both_sides_agree_whatever_each_wants():
    wishes = [DeflateParameters(forgets, not forgets, server, client)
              for forgets, server, client in product((False, True), (8, 9, 12, 15), (8, 9, 12, 15))]
    for client, server in product(wishes, wishes):
        taken = accept_deflate(offer_deflate(client), server)
        if client.server_max_window_bits == 8:
            assert taken is None
            continue
        assert taken is not None
        parameters, header = taken
        judged = judge_deflate(header, client)
        smaller = [max(9, min(bits)) for bits in (
            (client.server_max_window_bits, server.server_max_window_bits),
            (client.client_max_window_bits, server.client_max_window_bits))]
        assert [parameters.server_max_window_bits, parameters.client_max_window_bits] == smaller
        assert judged.server_max_window_bits == parameters.server_max_window_bits
        assert parameters.server_no_context_takeover == judged.server_no_context_takeover
        # The client may do with less than what was agreed, never with more.
        assert 9 <= judged.client_max_window_bits <= parameters.client_max_window_bits
        assert judged.client_no_context_takeover >= parameters.client_no_context_takeover


@pytest.mark.parametrize(("answer", "parameters"), [
    ("permessage-deflate", {}),
    ("permessage-deflate; server_max_window_bits=8", {"server_max_window_bits": 8}),
    ("permessage-deflate; client_max_window_bits=9; server_no_context_takeover",
     {"client_max_window_bits": 9, "server_no_context_takeover": True}),
    ("permessage-deflate; client_no_context_takeover", {"client_no_context_takeover": True}),
])
def test_an_answer_that_fits_the_offer_is_agreed(answer: str, parameters: dict):
    assert judge_deflate(answer) == agreed(**parameters)


@pytest.mark.parametrize(("answer", "wanted"), [
    ("", {}),
    ("x", {}),
    ("permessage-deflate, permessage-deflate", {}),
    ("permessage-deflate, x", {}),
    ("permessage-deflate; mystery", {}),
    ("permessage-deflate; client_max_window_bits", {}),
    ("permessage-deflate; client_max_window_bits=8", {}),
    ("permessage-deflate; client_max_window_bits=12", {"client_max_window_bits": 11}),
    ("permessage-deflate; server_max_window_bits=12", {"server_max_window_bits": 11}),
    ("permessage-deflate", {"server_max_window_bits": 11}),
    ("permessage-deflate", {"server_no_context_takeover": True}),
])
def test_any_other_answer_fails_the_connection(answer: str, wanted: dict):
    with pytest.raises(RemoteProtocolError):
        judge_deflate(answer, agreed(**wanted))


def test_an_offer_lets_the_server_choose_the_clients_window():
    assert offer_deflate() == "permessage-deflate; client_max_window_bits"
    assert offer_deflate(agreed(client_max_window_bits=10, server_no_context_takeover=True)) == (
        "permessage-deflate; server_no_context_takeover; client_max_window_bits=10")


def test_a_long_header_takes_no_longer_than_its_bytes():
    for hostile in ('"', ";", ",", 'permessage-deflate; a="\\', "permessage-deflate ;", "permessage-deflate; a "):
        assert accept_deflate(hostile[:-1] + hostile[-1] * 50_000) is None
