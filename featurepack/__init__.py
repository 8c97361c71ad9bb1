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
    Key,
    Network,
    NewKey,
    Pack,
    PackBrief,
    Prediction,
    Weights,
)
from featurepack.client import Client
from featurepack.comparison import Advice, Cell, Place, Ranking, Study, StudyBrief
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
    StorageFull,
    TimedOut,
    TooLarge,
    Unauthorised,
    Unavailable,
)
from featurepack.methods import Centroid, Knn, Lab, Linear, Mlp, Ridge
from featurepack.samples import Samples
from featurepack.teams import Team

__version__ = "0.1.0"

__all__ = [
    "Advice",
    "Attempt",
    "Cell",
    "Centroid",
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
    "Key",
    "Knn",
    "Lab",
    "Linear",
    "Mlp",
    "Network",
    "NewKey",
    "NotFound",
    "Pack",
    "PackBrief",
    "Place",
    "Prediction",
    "QuotaExceeded",
    "Ranking",
    "Ridge",
    "Samples",
    "StorageFull",
    "Study",
    "StudyBrief",
    "Team",
    "TimedOut",
    "TooLarge",
    "Unauthorised",
    "Unavailable",
    "Weights",
    "__version__",
]
