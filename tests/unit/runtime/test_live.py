"""A saga in the process manager's hands."""

from saga_es.model.commands import Wake
from saga_es.runtime.live import Ask, Live


def test_all_that_is_put_off_is_kept_in_its_order():
    live, asks = Live("trip-42", is_shared=False), [Ask(Wake) for _ in range(3)]

    for ask in asks:
        live.put_off(ask)

    assert live.late == asks
