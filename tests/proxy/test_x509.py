"""Names and dates of certificates, as the `openssl` command made them."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotpath.proxy.x509 import PEM, facts
from tests.certificates import make_pair, openssl


def der_of(certificate: Path) -> bytes:
    return ssl.PEM_cert_to_DER_cert(certificate.read_text())


@pytest.fixture(scope="module")
def der(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("x509")
    return der_of(make_pair(folder, "a.example", "*.B.example", "c.example", days=30).certificate)


def test_a_certificate_says_its_dns_names_and_its_end(der: bytes) -> None:
    found = facts(der)
    assert found.names == ("a.example", "*.b.example", "c.example")
    assert abs(found.not_after - datetime.now(UTC) - timedelta(days=30)) < timedelta(hours=1)


def test_many_names_need_a_long_length(tmp_path: Path) -> None:
    names = [f"n{i}.example" for i in range(2000)]
    assert facts(der_of(make_pair(tmp_path, *names).certificate)).names == tuple(names)


def test_a_certificate_may_have_no_names(tmp_path: Path) -> None:
    assert facts(der_of(make_pair(tmp_path).certificate)).names == ()


def test_other_kinds_of_names_are_passed_over(tmp_path: Path) -> None:
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", tmp_path / "k", "-out", tmp_path / "c",
            "-subj", "/CN=x", "-addext", "subjectAltName=IP:127.0.0.1,email:a@b.example,DNS:d.example,URI:http://u.example")
    assert facts(der_of(tmp_path / "c")).names == ("d.example",)


def test_an_end_beyond_2050_is_a_generalized_time(tmp_path: Path) -> None:
    assert facts(der_of(make_pair(tmp_path, "far.example", days=365 * 40).certificate)).not_after.year > 2050


def test_the_first_certificate_of_a_chain_is_found(tmp_path: Path) -> None:
    first, second = make_pair(tmp_path, "a.example"), make_pair(tmp_path, "b.example")
    chain = "preface\n" + first.certificate.read_text() + second.certificate.read_text()
    match = PEM.search(chain)
    assert match is not None
    assert facts(ssl.PEM_cert_to_DER_cert(match.group())).names == ("a.example",)


@given(data=st.data())
def test_damaged_bytes_are_a_value_error_and_nothing_worse(der: bytes, data: st.DataObject) -> None:
    broken = bytearray(der)
    for _ in range(data.draw(st.integers(1, 4))):
        broken[data.draw(st.integers(0, len(der) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(der)) | st.just(len(der)))
    try:
        facts(bytes(broken[:cut]))
    except ValueError:
        return
    assert cut == len(der)      # the outermost length says how long it is
