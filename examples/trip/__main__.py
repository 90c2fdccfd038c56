"""Maria gets the last room; Kevin's hotel has none. Run it: python -m examples.trip [FOLDER]

With a folder the log (sagas.db) and the agency's books (agency.db) stay there to be looked at. Run there once more,
nothing is booked twice: both sagas have ended.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from examples.trip.agency import Agency
from examples.trip.saga import BuyPackage, Trip
from saga_es import SagaEngine
from saga_es.cli.exits import run_until_terminated, terminable


async def main(folder: Path) -> None:
    agency = Agency(folder / "agency.db", rooms=1)
    async with SagaEngine(f"sqlite:///{folder / 'sagas.db'}", sagas=[BuyPackage(agency)]) as engine:
        for customer in ("Maria", "Kevin"):
            trip = Trip(customer=customer, flight="LIS-GIG", concert="Maracanã")
            outcome = await engine.run(BuyPackage, trip, saga_id=f"trip-{customer.lower()}")
            history = await engine.history(outcome.saga_id)
            print(history.trace(), end="\n\n")
            print(f"booked for {customer}: {', '.join(agency.booked_for(customer)) or 'nothing'}", end="\n\n")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        kept = Path(sys.argv[1])
        kept.mkdir(parents=True, exist_ok=True)
        run_until_terminated(main(kept))
    else:
        with terminable(), tempfile.TemporaryDirectory() as name:
            run_until_terminated(main(Path(name)))
