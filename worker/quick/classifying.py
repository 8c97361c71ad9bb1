"""``classify``: images → the whole frozen network → probabilities of ImageNet's classes."""

from __future__ import annotations

import torchvision

from cache.errors import InvalidRequest
from cache.job import Job
from cache.recipe import Recipe
from worker.context import Context
from worker.heads.file import softmax
from worker.lease import Lease
from worker.quick.images import rows_of
from worker.quick.ranking import most_probable


def classify(context: Context, job: Job, lease: Lease) -> None:
    """Answer the ``top`` most probable classes of each uploaded image.

    Raises:
        InvalidRequest: the checkpoint lacks the classifier, or has one of other classes.
        CorruptData: an image cannot be decoded.
    """
    recipe = Recipe.from_dict(job.spec["recipe"])
    uploads, top = job.spec["uploads"], job.spec["top"]
    try:
        network = context.build_network(recipe, [recipe.tap.layer])
    except InvalidRequest as error:
        raise InvalidRequest(
            f"{recipe.network} with these weights cannot classify: {error.message}",
            value=recipe.weights,
            remedy="use weights with a classifier of ImageNet's 1,000 classes, such as default",
        ) from error
    classes = imagenet_classes(recipe.network)
    predictions = [
        {"name": upload["name"], "classes": most_probable(softmax(row)[0], classes, top)}
        for upload, row in zip(uploads, rows_of(network, uploads, recipe, lease), strict=True)
    ]
    context.leases.finish(job, lambda _: {"predictions": predictions})


def imagenet_classes(network: str) -> list[str]:
    """The 1,000 names in the order of the scores, from torchvision's first weights of a network."""
    first = next(iter(torchvision.models.get_model_weights(network)))
    return list(first.meta["categories"])
