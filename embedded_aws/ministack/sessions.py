"""STS: the sessions of roles."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from ministack.services import sts


def apply() -> None:
    """Register one session at a time.

    ministack deletes expired sessions whenever one is registered. The threads of executions register sessions at the
    same time, and one of them would fail because the dictionary changes while it is read.
    """
    register: Callable[[str, dict[str, Any]], None] = sts.register_session
    lock = threading.Lock()

    def register_session(access_key: str, session: dict[str, Any]) -> None:
        with lock:
            register(access_key, session)

    sts.register_session = register_session
