"""Search: whole words, whatever their case and accents, in one's own channels, the same on both engines."""
import pytest

from hotpath.chat.store import DeleteChannel, DeleteMessage, EditMessage, Leave, PostMessage, Refused
from hotpath.chat.store.search import folded

TEXTS = {
    "plain": "Deploy the new Gateway today",
    "punctuated": "gateway: don't restart (yet)!",
    "short": "go to it, a b",
    "underscored": "see make_frame and snake_case_name",
    "accents": "Über crème brûlée à la carte, naïve",
    "cyrillic": "Привет мир",
    "cjk": "今日は良い天気",
    "digits": "port 8065, error 404",
    "stop": "the who and the what",
    "mail": "write to ann@example.org",
    "markup": "100% <b>bold</b> \"quoted\" 'single' *star* + - ( ) ~ @ \\",
    "emoji": "ship it 🚀 now",
    "long": "x" * 200,
}

CASES = [
    ("gateway", {"plain", "punctuated"}),
    ("GATEWAY", {"plain", "punctuated"}),
    ("gate", set()),
    ("gate*", {"plain", "punctuated"}),
    ("new gateway", {"plain"}),
    ("gateway, today!", {"plain"}),
    ("gateway tomorrow", set()),
    ("don't", {"punctuated"}),
    ("go", {"short"}),
    ("a", {"short", "accents"}),
    ("it", {"short", "emoji"}),
    ("b go", {"short"}),
    ("frame", {"underscored"}),
    ("make_frame", {"underscored"}),
    ("uber", {"accents"}),
    ("CREME brulee", {"accents"}),
    ("naïve", {"accents"}),
    ("мир", {"cyrillic"}),
    ("МИР", {"cyrillic"}),
    ("今日は良い天気", {"cjk"}),
    ("今日*", {"cjk"}),
    ("404", {"digits"}),
    ("the", {"plain", "stop"}),
    ("who the", {"stop"}),
    ("example", {"mail"}),
    ("ann@example.org", {"mail"}),
    ("bold", {"markup"}),
    ("quoted single star", {"markup"}),
    ("NEAR AND OR NOT gateway", set()),
    ("\"gateway\" -today", {"plain"}),
    ("g*", {"plain", "punctuated", "short"}),
    ("x" * 200, {"long"}),
]


@pytest.fixture
def hall(world):
    ann, ben = world.user("ann"), world.user("ben")
    channel = world.channel(ann, ben)
    ids = {name: world.post(ann, channel, text)["id"] for name, text in TEXTS.items()}
    return ann, ben, channel, ids


def test_what_is_found(world, hall):
    _, ben, _, ids = hall
    names = {id: name for name, id in ids.items()}
    found = {q: {names[hit["id"]] for hit in world.reader.search(ben, q)} for q, _ in CASES}
    assert found == dict(CASES)


@pytest.mark.parametrize("q", ["", " ", "?!", "_", "*", "🚀", "\"", "+-", " ".join(f"w{n}" for n in range(21))])
def test_a_question_without_words_is_refused(world, hall, q):
    with pytest.raises(Refused) as refused:
        world.reader.search(hall[1], q)
    assert refused.value.status == 422
    assert refused.value.errors[0]["field"] == "q"


def test_only_in_ones_own_channels(world, hall):
    ann, ben, channel, _ = hall
    private = world.channel(ann, kind="private")
    public = world.channel(ann)
    for where in (private, public):
        world.post(ann, where, "gateway")
    assert len(world.reader.search(ann, "gateway")) == 4
    assert {hit["channel"] for hit in world.reader.search(ben, "gateway")} == {channel}
    for where, status in ((private, 404), (public, 403)):
        with pytest.raises(Refused) as refused:
            world.reader.search(ben, "gateway", channel=where)
        assert refused.value.status == status
    world.do(Leave(ben, channel, ben))
    assert world.reader.search(ben, "gateway") == []
    world.do(DeleteChannel(ann, channel))
    assert {hit["channel"] for hit in world.reader.search(ann, "gateway")} == {private, public}


def test_edited_and_deleted_messages_are_found_by_what_they_are(world, hall):
    ann, ben, _, ids = hall
    world.do(EditMessage(ann, ids["plain"], "something else, with gateway"))
    assert [hit["id"] for hit in world.reader.search(ben, "gateway")] == [ids["punctuated"], ids["plain"]]
    assert world.reader.search(ben, "deploy") == []
    assert [hit["id"] for hit in world.reader.search(ben, "else")] == [ids["plain"]]
    world.do(DeleteMessage(ann, ids["plain"]))
    assert world.reader.search(ben, "else") == []


def test_newest_first_and_page_by_page(world, hall):
    ann, ben, channel, _ = hall
    other = world.channel(ben, ann)
    posts = [PostMessage((ann, ben)[n % 2], (channel, other)[n % 3 == 0], f"n{n}", f"needle {n}") for n in range(60)]
    world.together(*posts)
    everything = world.reader.search(ann, "needle", limit=100)
    assert [hit["id"] for hit in everything] == sorted((hit["id"] for hit in everything), reverse=True)
    assert len(everything) == 60
    pages, before = [], None
    while page := world.reader.search(ann, "needle", before=before, limit=7):
        pages += page
        before = page[-1]["id"]
    assert pages == everything
    assert {hit["user"] for hit in world.reader.search(ann, "needle", from_=ben, limit=100)} == {ben}
    assert len(world.reader.search(ann, "needle", channel=other, limit=100)) == 20


def test_folding_takes_accents_and_case():
    assert folded("ÀÉÎÕÜ ß Ǆ") == "aeiou ß ǆ"
