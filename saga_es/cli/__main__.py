from saga_es.cli import main

main(prog_name="saga-es")
