"""A process that migrates stores as it is told to: python -m tests.integration.migrating_process

It says "ready", and then for each line of its input, a store's environment as JSON, "done" or the error.
"""

from __future__ import annotations

import json
import sys

from saga_es.store.address import open_store


def main() -> None:
    print("ready", flush=True)
    for line in sys.stdin:
        try:
            open_store(json.loads(line), migrate=True).close()
        except Exception as error:  # noqa: BLE001 - whatever it is, the test shows it
            print(repr(error).replace("\n", " "), flush=True)
        else:
            print("done", flush=True)


if __name__ == "__main__":
    main()
