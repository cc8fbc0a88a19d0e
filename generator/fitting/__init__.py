"""Fitting the model to measured data."""
