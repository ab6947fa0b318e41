"""The commands `sepsis …`: who is septic, and the risk of death of septic stays."""

from cohorts.commands.sepsis import define, predict
from cohorts.commands.typer_app import Commands

app = Commands(help="Sepsis: who is septic, and the risk of death in hospital.")
for group in (define, predict):
    app.add_typer(group.app)
