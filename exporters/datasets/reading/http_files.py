"""Files of a web address: ranges, patience with busy servers and broken connections."""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import TYPE_CHECKING, BinaryIO, cast
from urllib.parse import quote

from ....generator.errors import DatasetError
from ..files import MissingFile, SeekableReader

if TYPE_CHECKING:
    from requests import Response, Session

LOG = logging.getLogger(__name__)
BLOCK = 1 << 14  # bytes: what a broken connection loses at most
TIMEOUT_S = (10, 60)  # to connect, and between two packets
LONGEST_WAIT_S = 120
BROKEN = "the connection broke off"
NO_CONNECTION = "no connection (is there a network, is the address right?)"
NO_ANSWER = "no answer in time"
BUSY = {429, 500, 502, 503, 504}
GONE = {404, 410}
BEYOND = 416  # nothing is left of the file


class _TryAgain(Exception):
    """What went wrong, and the seconds that the server asks to wait."""

    def __init__(self, problem: str, wait_s: float | None = None) -> None:
        super().__init__(problem)
        self.wait_s = wait_s


@dataclass(frozen=True)
class HttpFiles:
    """Files below an http or https address.

    Parameters
    ----------
    address
        What stands before the names of the files.
    attempts
        Requests in a row that may fail before one gives up.
    pause_s
        Pause after the first failure, s; doubled after each further one. A server's
        Retry-After goes before it.
    """

    address: str
    attempts: int = 6
    pause_s: float = 1.0

    @property
    def place(self) -> str:
        """The address."""
        return self.address

    def stream(self, name: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """See `Files.stream`; a connection that breaks is taken up again where it broke."""
        position, failures = start, 0
        while True:
            try:
                for block in self._blocks(name, position, stop):
                    position, failures = position + len(block), 0
                    yield block
                return
            except _TryAgain as problem:
                failures += 1
                self._wait(name, problem, failures)

    def _wait(self, name: str, problem: _TryAgain, failures: int) -> None:
        asked = problem.wait_s
        if asked is not None and asked > LONGEST_WAIT_S:
            msg = f"{self._url(name)}: {problem}, and asks to wait {asked:.0f} s; try again later"
            raise DatasetError(msg) from problem
        if failures >= self.attempts:
            msg = (
                f"{self._url(name)}: {problem}, {failures} times in a row; try again later, what "
                "is fetched is kept"
            )
            raise DatasetError(msg) from problem
        pause = self.pause_s * 2 ** (failures - 1) if asked is None else asked
        if pause >= 1:
            LOG.warning("%s: %s; asked again in %.0f s", self._url(name), problem, pause)
        time.sleep(pause)

    def _blocks(self, name: str, start: int, stop: int | None) -> Iterator[bytes]:
        """Bytes of one response; fewer than asked for if it breaks off."""
        import requests

        ranged = start > 0 or stop is not None
        headers = {}
        if ranged:
            headers["Range"] = f"bytes={start}-{'' if stop is None else stop - 1}"
        with self._response(name, headers) as response:
            if response.status_code == BEYOND and stop is None:
                return
            skip = _skipped(response, start, stop) if ranged else 0
            left = None if stop is None else stop - start
            try:
                for block in response.iter_content(BLOCK):
                    wanted, skip = block[skip:], max(0, skip - len(block))
                    left = _left(left, wanted, response.url)
                    if wanted:
                        yield wanted
            except (requests.exceptions.RequestException, OSError) as error:
                raise _TryAgain(BROKEN) from error
            if left:
                raise _TryAgain(BROKEN)

    @contextmanager
    def _response(self, name: str, headers: dict[str, str]) -> Iterator[Response]:
        import requests

        url = self._url(name)
        try:
            plain = {"Accept-Encoding": "identity", **headers}  # what sizes and ranges refer to
            response = _session().get(url, headers=plain, stream=True, timeout=TIMEOUT_S)
        except requests.exceptions.TooManyRedirects as error:
            msg = f"{url} redirects without end; is it the address of a dataset?"
            raise DatasetError(msg) from error
        except requests.exceptions.ConnectionError as error:
            raise _TryAgain(NO_CONNECTION) from error
        except requests.exceptions.Timeout as error:
            raise _TryAgain(NO_ANSWER) from error
        except (requests.exceptions.RequestException, ValueError) as error:
            msg = f"{url} cannot be requested ({error}); expected an http or https address"
            raise DatasetError(msg) from error
        with response:
            _require_success(response)
            yield response

    def open(self, name: str, size: int | None = None) -> BinaryIO:
        """See `Files.open`; every read is a range request of at least 64 kB."""
        known = self._size(name) if size is None else size
        return cast(BinaryIO, io.BufferedReader(_RangeReader(self, name, known), 1 << 16))

    def _size(self, name: str) -> int:
        """Bytes of a file, from the answer to a request for its first one."""
        failures = 0
        while True:
            try:
                with self._response(name, {"Range": "bytes=0-0"}) as response:
                    if response.status_code != BEYOND:  # of an empty file
                        _skipped(response, 0, 1)
                    return int(response.headers.get("Content-Range", "/0").rpartition("/")[2])
            except _TryAgain as problem:
                failures += 1
                self._wait(name, problem, failures)
            except ValueError as error:
                msg = f"{self._url(name)}: the server does not say how large the file is"
                raise DatasetError(msg) from error

    def _url(self, name: str) -> str:
        return f"{self.address.rstrip('/')}/{quote(name)}"


@cache
def _session() -> Session:
    """Connections that are kept for the next request."""
    import requests

    return requests.Session()


def _require_success(response: Response) -> None:
    code, url = response.status_code, response.url
    if code in (200, 206, BEYOND):
        return
    if code in BUSY:
        problem = f"the server answers {code} {response.reason}"
        raise _TryAgain(problem, _retry_after(response))
    if code in GONE:
        msg = f"{url} does not exist (the server answers {code}); is it the address of a dataset?"
        raise MissingFile(msg)
    msg = f"{url}: the server answers {code} {response.reason}, expected the file"
    raise DatasetError(msg)


def _retry_after(response: Response) -> float | None:
    """Seconds that a server asks to wait, from a number or a date."""
    text = response.headers.get("Retry-After", "")
    if text.isdecimal():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def _skipped(response: Response, start: int, stop: int | None) -> int:
    """Bytes at the head of an answer to a range request that were not asked for."""
    if response.status_code == 200 and stop is None:
        return start  # a server without ranges: the file from its beginning
    if response.status_code == 200:
        msg = (
            f"{response.url}: the server does not send parts of files; download the shards whole "
            "and give their folder"
        )
        raise DatasetError(msg)
    found = response.headers.get("Content-Range", "nothing")
    if not found.startswith(f"bytes {start}-"):
        msg = f"{response.url}: the server sends {found!r}, expected bytes from {start} on"
        raise DatasetError(msg)
    return 0


def _left(left: int | None, block: bytes, url: str) -> int | None:
    if left is None:
        return None
    if len(block) > left:
        msg = f"{url}: the server sends more bytes than were asked for; the address is not sound"
        raise DatasetError(msg)
    return left - len(block)


class _RangeReader(SeekableReader):
    """A web file as a stream in which one can seek."""

    def __init__(self, files: HttpFiles, name: str, size: int) -> None:
        super().__init__(size)
        self._files, self._name = files, name

    def _read(self, start: int, stop: int) -> bytes:
        return b"".join(self._files.stream(self._name, start, stop))
