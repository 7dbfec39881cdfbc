"""Adapters to payment providers, each behind `usecases.Provider`."""
