"""What the preview says itself, where no program of a project answers."""
from __future__ import annotations

import html

from hotpath.core.serve.problem import phrase
from hotpath.core.wire import http1

RELOAD_S = 2

PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
{reload}<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 1rem/1.5 system-ui, sans-serif; margin: 4rem auto; max-width: 34rem; padding: 0 1rem; }}
</style>
<h1>{title}</h1>
<p>{text}</p>
</html>
"""


def answer(status: int, title: str, text: str, *, as_page: bool, reloads: bool = False) -> tuple[http1.Response, bytes]:
    """Head and body. `reloads`: it may be other soon, so a page asks again by itself."""
    if as_page:
        kind, body = "text/html; charset=utf-8", PAGE.format(
            title=html.escape(title), text=html.escape(text),
            reload=f'<meta http-equiv="refresh" content="{RELOAD_S}">\n' if reloads else "")
    else:
        kind, body = "text/plain; charset=utf-8", f"{title}: {text}\n"
    data = body.encode()
    headers = [("Content-Type", kind), ("Content-Length", str(len(data))), ("Cache-Control", "no-store"),
               ("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer")]
    if as_page:
        headers.append(("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'"))
    if reloads:
        headers.append(("Retry-After", str(RELOAD_S)))
    return http1.Response(status_code=status, reason=phrase(status), headers=headers), data
