"""Solvers in eager mode: traced where they are called, and run as one program."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from graphflow.eager.function import Function
from graphflow.ir.graph import current_body, is_eager


def whole(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which in eager mode is traced at each call and runs as one program; tapes see it as one application.

    It suits functions whose loops call functions of the user: their steps run as native code, and their gradients are those that
    a graph has. The cache of programs finds one that was compiled before.
    """

    @functools.wraps(function)
    def call(*args: Any, **settings: Any) -> Any:
        if not is_eager() or current_body() is not None:
            return function(*args, **settings)
        return Function(lambda: function(*args, **settings), name=function.__name__)()

    return call
