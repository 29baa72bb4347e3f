"""Records IAM's decisions: which role was allowed or refused which action on which resource."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from ministack.core import iam_evaluator

_context: ContextVar[Any] = ContextVar("evaluated", default=None)


def record(path: Path) -> None:
    """Append each new decision about a role to a file of JSON lines: role, action, resource, allowed."""
    evaluate: Callable[..., Any] = iam_evaluator.evaluate
    enforce: Callable[..., Any] = iam_evaluator.enforce
    written: set[tuple[str, str, str, bool]] = set()
    lock = threading.Lock()
    file = path.open("a", buffering=1)
    path.chmod(0o600)

    def noting_evaluate(context: Any, policies: Any, *limits: Any) -> Any:
        # Keeps the first context of a request, which is that of the role's policies; resource policies follow.
        if _context.get() is None:
            _context.set(context)
        return evaluate(context, policies, *limits)

    def noting_enforce(*args: Any, **keywords: Any) -> Any:
        token = _context.set(None)
        try:
            denied = enforce(*args, **keywords)
            context = _context.get()
        finally:
            _context.reset(token)
        if context is not None and ":assumed-role/" in context.principal_arn:
            role = context.principal_arn.split("/")[1]
            line = (role, context.action, context.resource_arn, denied is None)
            with lock:
                if line not in written:
                    written.add(line)
                    facts = dict(zip(("role", "action", "resource", "allowed"), line, strict=True))
                    file.write(json.dumps(facts) + "\n")
        return denied

    iam_evaluator.evaluate = noting_evaluate
    iam_evaluator.enforce = noting_enforce
