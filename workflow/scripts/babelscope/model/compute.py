"""Settings of a model's computation: type, device, size of batches. No torch."""

from __future__ import annotations

from dataclasses import dataclass, replace

from babelscope.study.errors import BabelscopeError

DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Compute:
    """Settings of one model's computation.

    Attributes
    ----------
    dtype : ``float32``, ``bfloat16`` or ``float16``.
    device : ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; ignored with a ``device_map``.
    device_map : passed to transformers, to spread a big model over several GPUs.
    compile : fuse what lies between the matrix products, see ``compile_norms``.
    tokens_per_batch : rows x length of a batch; halved where memory runs out.
    gpu_memory_gb : most memory that a process takes of each GPU, 10^9 bytes; None: what is free. Decides no
        result.

    Raises
    ------
    BabelscopeError
        For an unknown ``dtype``.
    """

    dtype: str = "float32"
    device: str = "auto"
    device_map: str | None = None
    compile: bool = False
    tokens_per_batch: int = 1024
    gpu_memory_gb: float | None = None

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise BabelscopeError(f"dtype {self.dtype!r}: allowed are {', '.join(DTYPES)}")

    @property
    def decisive(self) -> Compute:
        """The settings that can change a result, if only in the last bit."""
        return replace(self, gpu_memory_gb=None)
