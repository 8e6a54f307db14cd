"""Experiments: data, poison, and sweeps over adapters."""
