"""The short jobs: one file per kind."""

from worker.quick.checkpoint import take_checkpoint
from worker.quick.classifying import classify
from worker.quick.exporting import export_onnx
from worker.quick.head import train_head
from worker.quick.importing import import_pack
from worker.quick.ingesting import ingest_dataset
from worker.quick.mapping import map_pack
from worker.quick.predicting import predict
from worker.quick.statistics import describe_pack
from worker.quick.verifying import verify_pack

__all__ = [
    "classify",
    "describe_pack",
    "export_onnx",
    "import_pack",
    "ingest_dataset",
    "map_pack",
    "predict",
    "take_checkpoint",
    "train_head",
    "verify_pack",
]
