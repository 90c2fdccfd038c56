"""How the library at hand was built; of use without pytest too."""

from __future__ import annotations

from typing import Final

from saga_es.model import fold

IS_COMPILED: Final = not fold.__file__.endswith(".py")
