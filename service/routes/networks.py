"""``/v1/networks``: what can be extracted."""

from __future__ import annotations

from fastapi import APIRouter

from cache import networks
from service.answers import Listing
from service.network_answers import NetworkAnswer

router = APIRouter(prefix="/v1/networks", tags=["networks"])


@router.get("")
def list_networks() -> Listing[NetworkAnswer]:
    """Every network, without its layers."""
    return Listing(items=[NetworkAnswer.of(networks.get(name)) for name in networks.names()])


@router.get("/{name}")
def get_network(name: str) -> NetworkAnswer:
    """One network with all layers that can be tapped. ``vgg``, ``inception``, ``resnet`` work."""
    return NetworkAnswer.of(networks.get(name), layers=True)
