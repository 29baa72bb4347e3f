"""Verifies the signatures of requests that are signed with the administrator's key."""

from __future__ import annotations

from ministack.core import iam_evaluator


def apply() -> None:
    """Let no access key be valid without its secret.

    ministack verifies the signatures of users and of roles' sessions. It accepts any signature of a root key, which it
    takes the administrator's key, ``test`` and every account number to be.
    """
    iam_evaluator._is_root_key = lambda access_key_id: False
