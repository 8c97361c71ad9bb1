"""A network and a dataset → arrays, a torch dataset, a table: built now if nobody has before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack, cast, overload

import numpy as np
import numpy.typing as npt

from featurepack.answers import Dataset, Pack
from featurepack.datasets import DatasetCalls
from featurepack.errors import InvalidRequest
from featurepack.jobs import Options
from featurepack.local.fetch import OnBytes
from featurepack.rows import RowCalls
from featurepack.samples import Samples, samples_of
from featurepack.selection import Selection, Which
from featurepack.tables import frame_of, table_from
from featurepack.waiting import OnProgress

if TYPE_CHECKING:
    import pandas
    import pyarrow


class Asked(Options, Which, total=False):
    """How features are made (:class:`Options`), and which rows of them are wanted."""


class PairCalls(RowCalls, DatasetCalls):
    """What most programs need: features by the names of a network and a dataset.

    All of these build the pack if it is not there; ``on_progress`` hears of the job, ``on_bytes``
    of the download. Without ``split`` all rows are meant.
    """

    def features(
        self,
        network: str,
        dataset: str,
        split: str | None = None,
        *,
        on_progress: OnProgress | None = None,
        on_bytes: OnBytes | None = None,
        **asked: Unpack[Asked],
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
        """Features [N, D] or [N, C, H, W] and labels [N] of a pair.

        They are read-only maps of the pack in the local cache, where :class:`RowCalls` does not
        say otherwise. Features are float32 (or float16 if ``numerics`` says so), labels int64
        with -1 for unlabelled. Rows of images that could not be decoded are zero, unless
        ``valid=True`` leaves them out; ``on_error="fail"`` refuses them.

        Raises:
            NotFound, InvalidRequest: no such pair, split, class or row; an option that cannot be.
            CorruptData: an image, the weights or the transfer is damaged.
            JobCancelled, Unavailable, ConnectionFailed: it could not be built or fetched.
            DiskFull, OSError: the local cache cannot take it.
        """
        options, selection = _parted(split, asked)
        pack = self.extract(network, dataset, on_progress=on_progress, **options)
        return self._features_and_labels(pack, selection, on_bytes)

    @overload
    def dataset(self, network: str) -> Dataset: ...

    @overload
    def dataset(
        self,
        network: str,
        dataset: str,
        split: str | None = None,
        *,
        on_progress: OnProgress | None = None,
        on_bytes: OnBytes | None = None,
        **asked: Unpack[Asked],
    ) -> Samples: ...

    def dataset(
        self,
        network: str,
        dataset: str | None = None,
        split: str | None = None,
        *,
        on_progress: OnProgress | None = None,
        on_bytes: OnBytes | None = None,
        **asked: Unpack[Asked],
    ) -> Dataset | Samples:
        """The features of a pair as a dataset of PyTorch's: see :class:`Samples`.

        With one name alone, that of a dataset or ``name@version``: what the service knows of that
        dataset of images.

        Raises:
            InvalidRequest: the client has no cache, or the pack is larger than the cache may be.
            FeaturepackError, OSError: as :meth:`features`.
        """
        if dataset is None:
            return DatasetCalls.dataset(self, network)
        options, selection = _parted(split, asked)
        pack = self.extract(network, dataset, on_progress=on_progress, **options)
        pack, mapped = self._map(pack, Selection(), on_bytes)
        mapped = self._cache.settled(pack) if mapped is not None and self._cache else None
        if mapped is None:
            raise _not_here(pack)
        return samples_of(mapped, self._chosen(pack, mapped, selection))

    def arrow(
        self,
        network: str,
        dataset: str,
        split: str | None = None,
        *,
        on_progress: OnProgress | None = None,
        **asked: Unpack[Asked],
    ) -> pyarrow.Table:
        """The rows of a pair as a table of Arrow's: features, label, row_id, row_hash, valid.

        It comes over the wire. Features are lists of a fixed size, [D] or C × H × W values; the
        field's metadata has the row's shape.

        Raises:
            InvalidRequest: pyarrow is not installed.
            FeaturepackError: as :meth:`features`.
        """
        options, selection = _parted(split, asked)
        pack = self.extract(network, dataset, on_progress=on_progress, **options)
        return table_from(self._transport, pack, selection)

    def frame(
        self,
        network: str,
        dataset: str,
        split: str | None = None,
        *,
        on_progress: OnProgress | None = None,
        **asked: Unpack[Asked],
    ) -> pandas.DataFrame:
        """The rows of a pair as a data frame of pandas': the columns of :meth:`arrow`.

        Each row's ``features`` are an array [D] or [C, H, W]; ``np.stack(frame.features)`` is all.

        Raises:
            InvalidRequest: pandas or pyarrow is not installed.
            FeaturepackError: as :meth:`features`.
        """
        return frame_of(self.arrow(network, dataset, split, on_progress=on_progress, **asked))


def _parted(split: str | None, asked: Asked) -> tuple[Options, Selection]:
    """What the pack is, and which of its rows."""
    which = {name: value for name, value in asked.items() if name in Which.__annotations__}
    options = {name: value for name, value in asked.items() if name not in which}
    return cast("Options", options), Selection(split, **cast("Which", which))


def _not_here(pack: Pack) -> InvalidRequest:
    return InvalidRequest(
        f"pack {pack.pack_id} with its {pack.bytes} bytes cannot be in the local cache",
        value=pack.bytes,
        remedy="use a client with a cache, and a larger cache_bytes (FEATUREPACK_CACHE_BYTES)",
    )
