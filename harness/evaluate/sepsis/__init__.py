"""The table of sepsis prognosis: the network, its branches and losses, and what they have to beat."""
