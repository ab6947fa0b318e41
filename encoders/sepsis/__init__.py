"""Sepsis prognosis: static data, time series and notes of septic stays, fused into one vector and a risk of death."""
