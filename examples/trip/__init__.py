"""A trip to Rio as one package: flight, hotel and tickets, or nothing of it."""
