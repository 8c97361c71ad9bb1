"""The client of a Featurepack service: ask for a (network, dataset) pair, get its features.

from featurepack import Client

with Client("http://127.0.0.1:8000") as client:
    client.add_dataset("digits", "digits")
    X, y = client.features("mobilenet_v2", "digits", "train", transform="stretch")
"""

from featurepack.answers import (
    Attempt,
    Checkpoint,
    Dataset,
    Estimate,
    Head,
    Index,
    Job,
    Network,
    Pack,
    Prediction,
    Weights,
)
from featurepack.client import Client
from featurepack.errors import (
    Conflict,
    ConnectionFailed,
    CorruptData,
    DiskFull,
    FeaturepackError,
    Forbidden,
    InvalidRequest,
    JobCancelled,
    NotFound,
    QuotaExceeded,
    TimedOut,
    TooLarge,
    Unauthorised,
    Unavailable,
)
from featurepack.samples import Samples

__version__ = "0.1.0"

__all__ = [
    "Attempt",
    "Checkpoint",
    "Client",
    "Conflict",
    "ConnectionFailed",
    "CorruptData",
    "Dataset",
    "DiskFull",
    "Estimate",
    "FeaturepackError",
    "Forbidden",
    "Head",
    "Index",
    "InvalidRequest",
    "Job",
    "JobCancelled",
    "Network",
    "NotFound",
    "Pack",
    "Prediction",
    "QuotaExceeded",
    "Samples",
    "TimedOut",
    "TooLarge",
    "Unauthorised",
    "Unavailable",
    "Weights",
    "__version__",
]
