"""Spatiotemporal networks with random weights."""

import lightning

from stages.models.segmenters.spatiotemporal.network import (
    SpatiotemporalNetwork,
    save_spatiotemporal,
)
from stages.models.segmenters.spatiotemporal.settings import SpatiotemporalSettings


def random_network(width=8, **settings):
    """Return a network with random weights, ready to segment."""
    lightning.seed_everything(0, verbose=False)
    return SpatiotemporalNetwork(SpatiotemporalSettings(width=width, **settings)).eval()


def write_object_network(path, **settings):
    """Write a network with random weights; return it."""
    network = random_network(**settings)
    save_spatiotemporal(path, network)
    return network
