import pytest

from hotpath.shard.backend.account import Account, pattern, quoted
from hotpath.shard.backend.errors import CannotStart


@pytest.mark.parametrize("account", [
    Account("root's % #;=", "pass", "blog", socket="/tmp/my.sock"),
    Account("a", "b", "my-blog", host="127.0.0.1", port=12345),
    Account.fresh("blog"),
])
def test_what_was_written_is_read(tmp_path, account):
    assert Account.read(tmp_path) is None
    account.write(tmp_path)
    assert Account.read(tmp_path) == account


def test_passwords_are_never_the_same():
    accounts = [Account.fresh("blog") for _ in range(100)]
    assert len({secret for one in accounts for secret in (one.password, one.root_password)}) == 200


def test_a_damaged_file_is_said_without_what_is_in_it(tmp_path):
    (tmp_path / "client.cnf").write_text("[client]\npassword secret\n")
    with pytest.raises(CannotStart, match="it is not as we wrote it") as caught:
        Account.read(tmp_path)
    assert "secret" not in str(caught.value)


def test_names_are_quoted():
    assert quoted("my-blog") == "`my-blog`"
    assert pattern("my_blog") == "`my\\_blog`"
