"""A saga's history: read, folded, told and exported from what is recorded alone."""

from saga_es.history.difference import Change
from saga_es.history.history import History
from saga_es.history.timeline import Moment, Timeline

__all__ = ["Change", "History", "Moment", "Timeline"]
