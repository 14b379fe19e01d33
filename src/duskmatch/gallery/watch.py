"""A thread that looks now and then whether another process has deleted entries, so that an idle one forgets them."""

from __future__ import annotations

import logging
import threading
import weakref
from typing import Protocol

from duskmatch.errors import DuskmatchError

logger = logging.getLogger("duskmatch")
EVERY_S = 2.0  # a deleted entry's row is overwritten within 5 s, also where a search takes some of them


class Watched(Protocol):
    def catch_up(self) -> None: ...


class Watch:
    """Calls `catch_up` every few seconds until it is stopped, or until nobody holds the watched object any more."""

    def __init__(self, watched: Watched, every_s: float = EVERY_S) -> None:
        self._watched, self._every_s = weakref.ref(watched), every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="duskmatch-gallery-watch")
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            watched = self._watched()
            if watched is None:
                return
            try:
                watched.catch_up()
            except DuskmatchError as error:  # the next search says it to whoever asks
                logger.debug("gallery: %s", error)
            del watched
