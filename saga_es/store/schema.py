from __future__ import annotations

from typing import Final

SCHEMA_VERSION: Final = 1
"""Raised with every change of the tables, beside the statements that bring an older store up to it."""
