"""Many messages in few statements: how a batch of them is stored.

A statement lets the interpreter's lock go, and while another thread is busy it costs up to a switch interval to get it
back. With eight statements for each message that was the writer's speed: 32 messages a second beside a busy thread. So
one question finds the few that need a closer look (retries, strangers, wrong roots), which then go one by one; for the
rest there is one INSERT for each table.
"""
from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence

from .errors import Refused
from .failures import meaning
from .mentions import mentioned
from .messages import PostMessage, check_text, digest_of
from .search import index_texts
from .shapes import message_shape
from .statements import Value
from .transaction import Transaction

log = logging.getLogger(__name__)

# What one statement carries: its text stays far below MySQL's max_allowed_packet, 16 MB, and SQLite's 500 SELECTs.
MAX_POSTS = 250
MAX_CHARACTERS = 500_000

Apply = Callable[[PostMessage], object]


def post_all(tx: Transaction, posts: Sequence[PostMessage], apply: Apply) -> list[object]:
    """The answers to `posts`, in their order; `apply` carries one out by itself."""
    answers: list[object] = [None] * len(posts)
    for run in _runs(posts):
        if len(run) == 1:
            answers[run[0]] = apply(posts[run[0]])
            continue
        try:
            odd = tx.item(lambda tx, run=run: _post_run(tx, posts, run, answers))   # type: ignore[misc]
        except Exception as error:
            if meaning(error).ends_transaction:
                raise
            # Somebody else's row came between our look and our INSERT, or one of them is not as it should be: whose
            # fault it is shows when each goes by itself.
            log.info("event=posted_one_by_one n=%d error=%r", len(run), error)
            odd = run
        for index in odd:
            answers[index] = apply(posts[index])
    return answers


def _runs(posts: Sequence[PostMessage]) -> Iterator[list[int]]:
    """Indices in portions that fit into a statement."""
    run: list[int] = []
    size = 0
    for index, post in enumerate(posts):
        if run and (len(run) >= MAX_POSTS or size + len(post.text) > MAX_CHARACTERS):
            yield run
            run, size = [], 0
        run.append(index)
        size += len(post.text)
    if run:
        yield run


def _post_run(tx: Transaction, posts: Sequence[PostMessage], run: Sequence[int], answers: list[object]) -> list[int]:
    """Store those that are plain, and answer them; the indices of the others."""
    plain, odd = _told_apart(tx, posts, run)
    if not plain:
        return odd
    rows: list[tuple[Value, ...]] = []
    seqs: dict[int, int] = {}
    for index in plain:
        post = posts[index]
        channel = tx.channel(post.channel)
        seq = seqs[channel.id] = seqs.get(channel.id, tx.next_seq(channel) - 1) + 1
        rows.append((channel.id, seq, post.user, post.client_msg_id, post.text, digest_of(post.text), post.root,
                     tx.now_ms, 0))
    ids = tx.insert_messages(rows)
    index_texts(tx.rows, [(id, posts[index].text) for id, index in zip(ids, plain, strict=True)])
    mention_rows: list[tuple[Value, ...]] = []
    for index, id, row in zip(plain, ids, rows, strict=True):
        post = posts[index]
        named = mentioned(tx.rows, post.channel, post.user, post.text)
        mention_rows += [(id, user, post.channel, row[1]) for user in named]
        message = message_shape((id, post.channel, row[1], post.user, post.text, tx.now_ms, post.client_msg_id,
                                 post.root, None, False), {}, 0, named)
        tx.append(tx.channel(post.channel), "message", post.user, message)
        answers[index] = (message, True)
    tx.rows.insert_many("mentions (message_id, user_id, channel_id, seq)", mention_rows)
    return odd


def _told_apart(tx: Transaction, posts: Sequence[PostMessage], run: Sequence[int]) -> tuple[list[int], list[int]]:
    """(indices of new messages that nothing speaks against, indices of the rest)."""
    candidates: list[int] = []
    odd: list[int] = []
    seen: set[tuple[int, str]] = set()
    for index in run:
        post = posts[index]
        if (key := (post.user, post.client_msg_id)) not in seen and _is_well_formed(tx, post):
            candidates.append(index)
            seen.add(key)
        else:
            odd.append(index)       # of two copies in one batch the second finds the first
    if candidates:
        strange = odd_ones(tx, posts, candidates)
        odd += [index for index in candidates if index in strange]
        candidates = [index for index in candidates if index not in strange]
    return candidates, sorted(odd)


def _is_well_formed(tx: Transaction, post: PostMessage) -> bool:
    channel = tx.held(post.channel)
    if channel is None or channel.deleted or channel.archived:
        return False
    try:
        check_text(post.text, tx.text_limit)
    except Refused:
        return False
    return True


def odd_ones(tx: Transaction, posts: Sequence[PostMessage], candidates: Sequence[int]) -> set[int]:
    """Those not of an active member, those whose client_msg_id is known, those whose root is no live root there."""
    first = "SELECT ? AS i, ? AS c, ? AS u, ? AS m, ? AS r"
    source = " UNION ALL ".join([first, *["SELECT ?, ?, ?, ?, ?"] * (len(candidates) - 1)])
    values: list[Value] = []
    for index in candidates:
        post = posts[index]
        values += (index, post.channel, post.user, post.client_msg_id, post.root)
    return {row[0] for row in tx.rows.all(
        f"SELECT k.i FROM ({source}) k WHERE NOT EXISTS (SELECT 1 FROM memberships s JOIN users a ON a.id = s.user_id "
        "WHERE s.channel_id = k.c AND s.user_id = k.u AND a.active) "
        "OR EXISTS (SELECT 1 FROM messages x WHERE x.user_id = k.u AND x.client_msg_id = k.m) "
        "OR (k.r IS NOT NULL AND NOT EXISTS (SELECT 1 FROM messages x WHERE x.id = k.r AND x.channel_id = k.c "
        "AND x.root_id IS NULL AND NOT x.deleted))", values)}
