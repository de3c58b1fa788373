"""What is known of the group outlives the process, or the change did not happen."""
from __future__ import annotations

import os
from pathlib import Path

import pytest

from hotpath.crdt.gossip.members import FILE, Members, MembersUnusable
from hotpath.crdt.gossip.membership import Entry, Life


def test_members_added_and_forgotten_at_run_time_outlive_the_process(tmp_path: Path):
    members = Members.open(tmp_path, "a", new_life=True)
    assert members.add("b", "http://b:1", "http://page")
    assert members.add("c", "http://c:1")
    assert not members.add("c", "http://c:2")
    members.forget("b")
    members.promise(77)
    again = Members.open(tmp_path, "a", new_life=False)
    assert again.now.entries == members.now.entries
    assert again.now.group == members.now.group
    assert again.now.present == {"a", "c"}
    assert again.now.knows_as_forgotten("b")
    assert again.address_of(again.now.entries["c"]) == ("http://c:2", "http://c:2")
    assert again.promised == 77


def test_each_start_counts_and_keeps_the_directory_s_number(tmp_path: Path):
    speakers = [Members.open(tmp_path, "a", new_life=False).speaker for _ in range(3)]
    assert len({speaker.origin for speaker in speakers}) == 1
    assert [speaker.starts for speaker in speakers] == [1, 2, 3]
    (tmp_path / "other").mkdir()
    assert Members.open(tmp_path / "other", "a", new_life=False).speaker.origin != speakers[0].origin


def test_a_new_life_changes_the_group_and_an_old_one_does_not(tmp_path: Path):
    first = Members.open(tmp_path, "a", new_life=True).now
    same = Members.open(tmp_path, "a", new_life=False).now
    new = Members.open(tmp_path, "a", new_life=True).now
    assert first.group == same.group != new.group
    assert new.entries["a"].life.turn == first.entries["a"].life.turn + 1


def test_a_lost_file_is_a_new_life(tmp_path: Path):
    first = Members.open(tmp_path, "a", new_life=True).now
    (tmp_path / FILE).unlink()
    assert Members.open(tmp_path, "a", new_life=False).now.life != first.life


def test_the_configuration_adds_peers_and_cannot_bring_a_forgotten_one_back(tmp_path: Path):
    members = Members.open(tmp_path, "a", new_life=True)
    assert members.configure([("b", "http://b", ""), ("c", "http://c", "")]) == []
    members.forget("b")
    again = Members.open(tmp_path, "a", new_life=False)
    assert again.configure([("b", "http://b", ""), ("c", "http://here", "http://page")]) == ["b"]
    assert again.now.present == {"a", "c"}
    assert again.address_of(again.now.entries["c"]) == ("http://here", "http://page")
    again.add("b", "http://b")
    assert again.now.present == {"a", "b", "c"}


def test_what_others_know_is_kept_and_only_news_is_written(tmp_path: Path):
    members = Members.open(tmp_path, "a", new_life=True)
    assert members.join([Entry("b", 3, True, Life(1, 2**64 - 1), "http://b")])
    before = (tmp_path / FILE).stat().st_ino
    assert not members.join([Entry("b", 3, True, Life(1, 2**64 - 1), "http://b")])
    assert (tmp_path / FILE).stat().st_ino == before
    assert Members.open(tmp_path, "a", new_life=False).now.entries["b"].life == Life(1, 2**64 - 1)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"replica":"a"}', '{"replica":"a","origin":"x","starts":1,'
                                  '"life":"1","promise":0,"members":[]}'])
def test_a_damaged_file_is_named_and_not_overwritten(tmp_path: Path, text):
    (tmp_path / FILE).write_text(text)
    with pytest.raises(MembersUnusable, match=FILE):
        Members.open(tmp_path, "a", new_life=False)
    assert (tmp_path / FILE).read_text() == text


def test_the_file_of_another_replica_is_refused(tmp_path: Path):
    Members.open(tmp_path, "a", new_life=True)
    with pytest.raises(MembersUnusable, match="belongs to replica a, not to b"):
        Members.open(tmp_path, "b", new_life=True)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_change_that_cannot_be_written_does_not_happen(tmp_path: Path, monkeypatch, call):
    members = Members.open(tmp_path, "a", new_life=True)
    members.add("b", "http://b")
    before, text = members.now, (tmp_path / FILE).read_text()

    def fail(*_given: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    for change in (lambda: members.add("c", "http://c"), lambda: members.forget("b"), lambda: members.promise(9),
                   lambda: members.join([Entry("d")])):
        with pytest.raises(OSError, match="No space"):
            change()
    assert members.now is before
    assert members.promised == 0
    assert (tmp_path / FILE).read_text() == text
    assert os.listdir(tmp_path) == [FILE]
