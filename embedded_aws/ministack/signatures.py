"""Verifies the signatures of requests that are signed with the administrator's key."""

from __future__ import annotations

from ministack.core import iam_evaluator


def apply() -> None:
    """Require a valid signature for every access key.

    ministack verifies the signatures of users and roles' sessions, but accepts any signature for a root key. It treats
    the administrator's key, ``test`` and every account number as root keys.
    """
    iam_evaluator._is_root_key = lambda access_key_id: False
