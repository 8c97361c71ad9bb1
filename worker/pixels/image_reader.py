"""The images of a dataset, decoded, by their row."""

from __future__ import annotations

from cache.stored_images import StoredImages
from worker.pixels.images import Pixels, decode, pixels_to_rgb


class ImageReader(StoredImages):
    """Reads and decodes rows of a manifest."""

    def decode_row(self, row: int) -> Pixels:
        """The pixels of an image: uint8 RGB ``[H, W, 3]``.

        Raises:
            CorruptData: as :meth:`read`, or the image cannot be decoded.
            TooLarge: it has too many pixels.
        """
        data = self.read(row)
        return decode(data) if isinstance(data, bytes) else pixels_to_rgb(data)
