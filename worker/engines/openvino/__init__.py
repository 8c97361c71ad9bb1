"""OpenVINO: the network compiled for this processor.

prepared images → ``convert.py`` (our network as OpenVINO's model; ``precision.py``: what of it
stays float32) → ``engine.py`` (calls of a few images, in lanes).
"""

import sys

# It would report every start of a worker to its makers; without the module OpenVINO does not.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

from worker.engines.openvino.convert import convert  # noqa: E402
from worker.engines.openvino.engine import OpenVinoEngine, name_of  # noqa: E402

__all__ = ["OpenVinoEngine", "convert", "name_of"]
