"""How one image becomes one feature row, and the id of that.

Everything that changes a row's values is a field of :class:`Recipe`, and ``recipe_id`` is a hash
of all fields. Batch size, worker, device, engine and order are left out: they must not matter.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, cast, get_args

from cache.errors import InvalidRequest
from cache.identity import blake2b_hex, canonical_json

PIXEL_PATH = 1
"""Version of decoding and resizing; raised whenever either changes a pixel."""

MAX_SIDE = 4096
LEAST_STD = 1e-6

Pool = Literal["none", "avg", "max", "flatten"]
Resize = Literal["shorter", "stretch"]
Interpolation = Literal["nearest", "bilinear", "bicubic"]
Resample = Literal["uint8", "float32"]
ChannelOrder = Literal["RGB", "BGR"]
Compute = Literal["float32", "fast"]
Stored = Literal["float32", "float16"]


def _one_of(name: str, value: object, choices: Any) -> None:
    if value not in get_args(choices):
        known = ", ".join(get_args(choices))
        raise InvalidRequest(f"{name} is {value!r}", value=value, remedy=f"use one of: {known}")


@dataclass(frozen=True, slots=True)
class Tap:
    """Where features leave the network.

    ``layer`` is a node of the traced graph. ``pool`` acts on ``[N, C, H, W]`` maps (``avg`` and
    ``max`` give ``[N, C]``) and on ``[N, T, C]`` token sequences (over tokens, giving ``[N, C]``);
    ``flatten`` gives ``[N, D]`` from anything; ``none`` keeps the layer's own shape.
    """

    layer: str
    pool: Pool = "none"

    def __post_init__(self) -> None:
        _one_of("pool", self.pool, Pool)


@dataclass(frozen=True, slots=True)
class Transform:
    """How decoded RGB pixels (uint8, H × W × 3) become the network's input (float32, 3 × H × W).

    In order: resize, centre crop, divide by 255, subtract ``mean``, divide by ``std``, order the
    channels. ``size`` is ``(s,)`` for ``resize="shorter"`` (the shorter side becomes ``s``, the
    longer ``int(s * longer / shorter)``) and ``(height, width)`` for ``resize="stretch"``.

    ``resample="uint8"`` resizes in Pillow's integer arithmetic, as torchvision's own presets do to
    a PIL image; ``"float32"`` resizes the image divided by 255 in float32 without rounding
    (``torch.nn.functional.interpolate``).

    Raises:
        InvalidRequest: a value outside its choices, or a crop larger than the resized image.
    """

    resize: Resize
    size: tuple[int, ...]
    crop: tuple[int, int] | None
    interpolation: Interpolation
    antialias: bool
    resample: Resample
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    channels: ChannelOrder = "RGB"

    def __post_init__(self) -> None:
        self._normalise()
        _one_of("resize", self.resize, Resize)
        _one_of("interpolation", self.interpolation, Interpolation)
        _one_of("resample", self.resample, Resample)
        _one_of("channels", self.channels, ChannelOrder)
        self._check_sizes()
        if self.resample == "uint8" and not self.antialias:
            raise InvalidRequest(
                "resample is 'uint8' without antialias",
                value=self.antialias,
                remedy="Pillow always antialiases: set antialias true, or resample 'float32'",
            )
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) < LEAST_STD:
            raise InvalidRequest(
                "mean and std do not fit three channels",
                value={"mean": self.mean, "std": self.std},
                remedy=f"give three numbers each, std at least {LEAST_STD}, for pixels in 0..1",
            )

    def _normalise(self) -> None:
        """Whole numbers for sides, floats for statistics: 1 and 1.0 must not be two recipes."""
        set_field = object.__setattr__
        set_field(self, "size", tuple(int(side) for side in self.size))
        if self.crop is not None:
            set_field(self, "crop", tuple(int(side) for side in self.crop))
        set_field(self, "mean", tuple(float(number) for number in self.mean))
        set_field(self, "std", tuple(float(number) for number in self.std))

    def _check_sizes(self) -> None:
        sides = 1 if self.resize == "shorter" else 2
        every = (*self.size, *(self.crop or ()))
        if len(self.size) != sides or not all(1 <= side <= MAX_SIDE for side in every):
            raise InvalidRequest(
                f"size {list(self.size)} with crop {self.crop} does not fit resize {self.resize!r}",
                value=list(self.size),
                remedy=f"shorter takes one side, stretch [height, width], each 1 to {MAX_SIDE}",
            )
        if self.resize == "shorter" and self.crop is None:
            raise InvalidRequest(
                "resize 'shorter' without a crop gives images of different shapes",
                value=None,
                remedy="add crop: [height, width]",
            )
        limit = self.size if sides == 2 else self.size * 2
        if self.crop and (self.crop[0] > limit[0] or self.crop[1] > limit[1]):
            raise InvalidRequest(
                f"crop {self.crop} is larger than the resized image {list(self.size)}",
                value=self.crop,
                remedy="make the crop at most as large as size",
            )

    @property
    def output_HW(self) -> tuple[int, int]:
        """Height and width of what the network sees."""
        return self.crop or cast("tuple[int, int]", self.size)


@dataclass(frozen=True, slots=True)
class Numerics:
    """How exact a row is, and how it is stored.

    ``float32``: each row within 1e-4 of eager float32 (largest difference over largest value).
    ``fast``: bf16 or fp16 arithmetic, each row's cosine to float32 at least 0.99.
    """

    compute: Compute = "float32"
    stored: Stored = "float32"

    def __post_init__(self) -> None:
        _one_of("compute", self.compute, Compute)
        _one_of("stored", self.stored, Stored)


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides the values of a feature row.

    ``weights`` names the exact numbers in the network: ``torchvision:<file name>`` (the file name
    ends in the head of its SHA-256), ``sha256:<64 digits>``, or ``random:<seed>``.
    """

    network: str
    weights: str
    tap: Tap
    transform: Transform
    numerics: Numerics = Numerics()
    pixel_path: int = PIXEL_PATH

    @property
    def recipe_id(self) -> str:
        return blake2b_hex(canonical_json(self.as_dict()))

    @property
    def forward_id(self) -> str:
        """The same for recipes that differ in the tap alone, so share one forward pass."""
        fields = self.as_dict()
        del fields["tap"], fields["numerics"]["stored"]
        return blake2b_hex(canonical_json(fields))

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Recipe:
        """The inverse of :meth:`as_dict`, also after a trip through JSON."""
        return cls(
            network=fields["network"],
            weights=fields["weights"],
            tap=Tap(**fields["tap"]),
            transform=Transform(**fields["transform"]),
            numerics=Numerics(**fields["numerics"]),
            pixel_path=fields["pixel_path"],
        )


def pack_id(recipe_id: str, dataset_id: str) -> str:
    """``{recipe_id[:12]}-{dataset_id[:12]}``: one prefix finds every pack of a recipe."""
    return f"{recipe_id[:12]}-{dataset_id[:12]}"
