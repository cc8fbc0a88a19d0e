"""A web server on this computer that serves a folder, with ranges and with faults on demand."""

import re
from collections import defaultdict, deque
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from urllib.parse import unquote, urlsplit


@dataclass
class Site:
    """A folder on the web, what was asked of it, and the faults that its next answers have.

    A fault is ``("status", 503, {header: value})``, ``("drop", n)`` after n bytes,
    ``("stall", n)`` for as long as the site is there, ``("body", bytes)`` instead of the file,
    or ``("ranges", False)`` for a file as a whole.
    """

    folder: Path
    address: str = ""
    faults: dict[str, deque] = field(default_factory=lambda: defaultdict(deque))
    always: dict[str, tuple] = field(default_factory=dict)
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    sent: int = 0  # bytes of bodies
    closing: Event = field(default_factory=Event)

    def fail(self, name, *faults):
        self.faults[name].extend(faults)

    def names(self):
        return [name for name, _ in self.requests]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, site, *args):
        self.site = site
        super().__init__(*args)

    def do_GET(self):
        name = unquote(urlsplit(self.path).path).lstrip("/")
        self.site.requests.append((name, self.headers.get("Range")))
        queue = self.site.faults[name]
        kind, *values = queue.popleft() if queue else self.site.always.get(name, ("none",))
        if kind == "status":
            return self.answer(values[0], b"", values[1])
        path = self.site.folder / name
        if kind != "body" and not path.is_file():
            return self.answer(404, b"", {})
        content = values[0] if kind == "body" else path.read_bytes()
        headers, code = {}, 200
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked and kind != "ranges":
            start, stop = int(asked[1]), min(int(asked[2] or len(content)) + 1, len(content))
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(content)}"
            content, code = content[start:stop], 206
        cut = values[0] if kind in ("drop", "stall") else None
        self.answer(code, content, headers, cut)
        if kind == "stall":
            self.wfile.flush()
            self.site.closing.wait(60)
        return None

    def answer(self, code, content, headers, drop=None):
        self.send_response(code)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.site.sent += len(content[:drop])
        with suppress(ConnectionError):  # the client may have seen enough
            self.wfile.write(content[:drop])
        if drop is not None and drop < len(content):
            self.close_connection = True

    def log_message(self, *_):
        pass


@contextmanager
def serving(folder):
    site = Site(Path(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, site)) as server:
        server.daemon_threads = True
        server.handle_error = lambda *_: None  # a client that leaves is no error
        site.address = f"http://127.0.0.1:{server.server_address[1]}"
        thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield site
        site.closing.set()
        server.shutdown()
        thread.join()
