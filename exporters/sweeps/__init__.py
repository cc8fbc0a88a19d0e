"""Sweeps over parameters of a model: variants of a particle, compared with it one by one."""
