"""Five kinds of data that compress differently, made here, the same in every run."""
from __future__ import annotations

import json
import random
import zlib
from functools import cache

SIZE = 192 * 1024       # at least; above the largest message of any case, so that messages differ from each other

SYLLABLES = ["wer", "im", "mer", "stre", "bend", "sich", "be", "müht", "den", "kön", "nen", "wir", "er", "lö", "sen",
             "und", "grau", "ist", "al", "le", "the", "o", "rie", "grün", "des", "le", "bens", "gold", "ner", "baum"]


def words(rng: random.Random, n: int) -> str:
    """So many made-up words."""
    return " ".join("".join(rng.choices(SYLLABLES, k=rng.randint(1, 3))) for _ in range(n))


@cache
def json_text() -> str:
    """Records with repeating keys and accented values."""
    rng = random.Random(1)
    records = [{"id": i, "name": words(rng, 2), "score": rng.random(), "tags": words(rng, 4).split(), "on": i % 3 == 0}
               for i in range(1600)]
    return json.dumps(records, ensure_ascii=False)


@cache
def picture() -> bytes:
    """A grey picture of 512 by 512: soft shades with some noise."""
    rng = random.Random(2)
    noise = rng.randbytes(512 * 512)
    return b"BM" + bytes((x + y >> 2) + (noise[y << 9 | x] & 7) & 0xFF for y in range(512) for x in range(512))


@cache
def prose() -> bytes:
    """Sentences that look German from afar."""
    rng = random.Random(3)
    return "\n".join(words(rng, rng.randint(6, 14)).capitalize() + "." for _ in range(3600)).encode()


@cache
def html_text() -> str:
    """A long table."""
    rng = random.Random(4)
    rows = (f'<tr class="row{i % 2}"><td><a href="/page/{i}">{words(rng, 3)}</a></td><td>{rng.randint(0, 99999)}</td>'
            for i in range(2400))
    return "<!DOCTYPE html>\n<html><body><table>\n" + "</tr>\n".join(rows) + "</tr>\n</table></body></html>\n"


@cache
def packed() -> bytes:
    """Compressed streams between short heads, as in a PDF: hardly smaller when compressed again."""
    rng = random.Random(5)
    streams = (zlib.compress(rng.randbytes(9000) + words(rng, 300).encode()) for _ in range(24))
    return b"".join(b"%d 0 obj\n<< /Length %d >>\nstream\n%b\nendstream\n" % (i, len(stream), stream)
                    for i, stream in enumerate(streams))
