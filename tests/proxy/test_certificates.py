"""Which certificate is shown to whom, and what is said of one that cannot be used."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

import pytest

from hotpath.core.config import Address
from hotpath.proxy.certificates import Unfit, contexts
from hotpath.proxy.config import Certificate, Listen, Tls
from tests.certificates import Pair, careless, make_pair, openssl
from tests.proxies import check


def listener(pair: Pair, *more: Pair, http2: bool = False, minimum: str = "1.2") -> Listen:
    others = tuple(Certificate(str(each.certificate), str(each.key)) for each in more)
    return Listen(
        Address("127.0.0.1", 0), http2=http2, tls=Tls(str(pair.certificate), str(pair.key), minimum, others))  # type: ignore[arg-type]


def context_of(pair: Pair, *more: Pair, http2: bool = False, minimum: str = "1.2") -> ssl.SSLContext:
    context, = contexts([listener(pair, *more, http2=http2, minimum=minimum)])
    assert context is not None
    return context


def shake(server: ssl.SSLContext, client: ssl.SSLContext, name: str | None) -> ssl.SSLObject:
    """The client's end of a handshake in memory."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = server.wrap_bio(up, down, server_side=True)
    theirs = client.wrap_bio(down, up, server_hostname=name)
    for _ in range(4):
        for end in (theirs, ours):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    assert theirs.version() is not None
    return theirs


def shown(server: ssl.SSLContext, name: str | None) -> bytes:
    """The certificate that a client sees who asks for `name`."""
    der = shake(server, careless(), name).getpeercert(binary_form=True)
    assert der is not None
    return der


def der(pair: Pair) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pair.certificate.read_text())


def test_a_name_gets_its_certificate_exactly_then_by_wildcard_then_the_default(folder: Path, pair: Pair) -> None:
    wild = make_pair(folder, "*.b.example")
    exact = make_pair(folder, "x.b.example", "y.b.example")
    server = context_of(pair, wild, exact)
    assert shown(server, "a.example") == der(pair)
    assert shown(server, "x.b.example") == der(exact)
    assert shown(server, "Y.B.Example") == der(exact)
    assert shown(server, "z.b.example") == der(wild)
    assert shown(server, "deep.z.b.example") == der(pair)       # a wildcard stands for one label
    assert shown(server, "b.example") == der(pair)
    assert shown(server, "nobody.example") == der(pair)
    assert shown(server, None) == der(pair)


def test_of_two_certificates_for_a_name_the_first_is_shown(folder: Path, pair: Pair) -> None:
    twin = make_pair(folder, "twin.example", "a.example")
    server = context_of(pair, twin)
    assert shown(server, "a.example") == der(pair)
    assert shown(server, "twin.example") == der(twin)


@pytest.mark.parametrize("http2", [False, True])
def test_alpn(pair: Pair, http2: bool) -> None:
    client = careless()
    client.set_alpn_protocols(["h2", "http/1.1"])
    chosen = shake(context_of(pair, http2=http2), client, "a.example").selected_alpn_protocol()
    assert chosen == ("h2" if http2 else "http/1.1")


def test_the_choice_by_name_keeps_alpn(folder: Path, pair: Pair) -> None:
    other = make_pair(folder, "other.example")
    client = careless()
    client.set_alpn_protocols(["http/1.1"])
    assert shake(context_of(pair, other), client, "other.example").selected_alpn_protocol() == "http/1.1"


def test_old_versions_are_refused(pair: Pair) -> None:
    old = careless()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    assert shake(context_of(pair), old, None).version() == "TLSv1.2"
    with pytest.raises(ssl.SSLError):
        shake(context_of(pair, minimum="1.3"), old, None)
    ancient = careless()
    ancient.minimum_version = ssl.TLSVersion.TLSv1
    ancient.maximum_version = ssl.TLSVersion.TLSv1_1
    ancient.set_ciphers("DEFAULT@SECLEVEL=0")
    with pytest.raises(ssl.SSLError):
        shake(context_of(pair), ancient, None)


def test_a_listener_in_the_clear_has_none(pair: Pair) -> None:
    assert contexts([Listen(Address("127.0.0.1", 0))]) == (None,)


def test_an_expired_certificate_is_shown_and_warned_of(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    expired = make_pair(folder, "expired.example", days=-1)
    with caplog.at_level(logging.WARNING):
        assert shown(context_of(expired), None) == der(expired)
    assert f"certificate expired file={expired.certificate}" in caplog.text


def broken(what: str, folder: Path, pair: Pair) -> Pair:
    """A pair that cannot be used."""
    file = folder / f"{what}.pem"
    if what == "garbage":
        file.write_bytes(b"\xff\x00 nothing here")
        return Pair(file, pair.key)
    if what == "malformed":
        file.write_text(ssl.DER_cert_to_PEM_cert(der(pair)[:-1]))
        return Pair(file, pair.key)
    if what == "stranger":
        return Pair(pair.certificate, make_pair(folder, "stranger.example").key)
    if what == "other kind":
        return Pair(pair.certificate, make_pair(folder, "rsa.example", kind=("rsa:2048",)).key)
    if what == "no key":
        return Pair(pair.certificate, pair.certificate)
    if what == "encrypted":
        openssl("ec", "-in", pair.key, "-aes128", "-passout", "pass:secret", "-out", file)
        return Pair(pair.certificate, file)
    if what == "weak":
        return make_pair(folder, "weak.example", kind=("rsa:1024",))
    assert what == "gone"
    return Pair(folder / "gone.crt", pair.key)


@pytest.mark.parametrize(("what", "field", "message"), [
    ("garbage", "certificate", "holds no certificate in PEM"),
    ("malformed", "certificate", "holds a malformed certificate"),
    ("stranger", "key", "is not the key of"),
    ("other kind", "key", "is not the key of"),
    ("no key", "key", "holds no private key in PEM"),
    ("encrypted", "key", "is encrypted"),
    ("weak", "certificate", "is too weak"),
    ("gone", "certificate", "cannot be read"),
], ids=lambda value: value.replace(" ", "-") if value.count(" ") < 2 else "")
def test_what_cannot_be_used_is_blamed_on_its_place(
    folder: Path, pair: Pair, what: str, field: str, message: str
) -> None:
    bad = broken(what, folder, pair)
    with pytest.raises(Unfit, match=message) as caught:
        contexts([Listen(Address("127.0.0.1", 0)), listener(bad)])
    assert caught.value.at == ("listen", 1, "tls", field)
    with pytest.raises(Unfit, match=message) as caught:
        contexts([listener(pair, bad)])
    assert caught.value.at == ("listen", 0, "tls", "more", 0, field)


def test_a_key_that_cannot_be_read_is_named(folder: Path, pair: Pair) -> None:
    with pytest.raises(Unfit, match="cannot be read: Is a directory"):
        contexts([listener(Pair(pair.certificate, folder))])


def test_a_further_certificate_without_names_is_useless(folder: Path, pair: Pair) -> None:
    with pytest.raises(Unfit, match="bears no DNS name"):
        contexts([listener(pair, make_pair(folder))])


CONFIG = """
listen:
  - 127.0.0.1:0
  - address: 127.0.0.1:0
    tls:
      certificate: {certificate}
      key: {key}
routes: [{{respond: {{body: hello}}}}]
"""


def test_the_command_checks_them(folder: Path, pair: Pair) -> None:
    good = check(CONFIG.format(certificate=pair.certificate, key=pair.key), "-t", folder=folder)
    assert (good.returncode, good.stderr) == (0, "")
    stranger = make_pair(folder, "stranger.example")
    bad = check(CONFIG.format(certificate=pair.certificate, key=stranger.key), "-t", folder=folder)
    assert bad.returncode == 2
    blamed = f"{folder / 'proxy.yaml'}:7: listen[1].tls.key"
    assert bad.stderr == f"{blamed}: {str(stranger.key)!r} is not the key of {str(pair.certificate)!r}\n"


def test_the_command_warns_of_an_expired_one(folder: Path) -> None:
    expired = make_pair(folder, "late.example", days=-1)
    done = check(CONFIG.format(certificate=expired.certificate, key=expired.key), "-t", folder=folder)
    assert done.returncode == 0
    assert "certificate expired" in done.stderr
