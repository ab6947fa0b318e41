"""The commands `sepsis …`: cohorts of sepsis."""

from cohorts.commands.sepsis import define
from cohorts.commands.typer_app import Commands

app = Commands(help="Cohorts of sepsis: who is of them, and why others are not.")
app.add_typer(define.app)
