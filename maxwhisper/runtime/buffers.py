"""numpy arrays to device buffers in the right precision, and back; buffers of zeros.

In: arrays from `weights`. Out: buffers. numpy has no bfloat16; its bits are computed here.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from max.driver import CPU, Buffer
from max.dtype import DType

from maxwhisper.checkpoint.schema import Array
from maxwhisper.decoding.protocols import Float32
from maxwhisper.runtime.device import Placement
from maxwhisper.runtime.weights import feeds_skinny_matmul, is_float32


def weight_buffers(arrays: Mapping[str, Array], placement: Placement) -> dict[str, Buffer]:
    """Every weight in the precision that its graphs declare, on the host.

    `Graph.add_weight` of MAX 26.7.0 expects weights in host memory; they are copied to a GPU when
    the graphs are initialised.
    """

    def dtype(name: str) -> DType:
        if is_float32(name):
            return DType.float32
        return placement.matrices if feeds_skinny_matmul(name) else placement.dtype

    return {name: host_buffer(array, dtype(name)) for name, array in arrays.items()}


def device_buffer(array: Array, dtype: DType, placement: Placement) -> Buffer:
    """float32 or float16 numpy -> a buffer of `dtype` on the placement's device."""
    buffer = host_buffer(array, dtype)
    return buffer if placement.device.is_host else buffer.to(placement.device)


def host_buffer(array: Array, dtype: DType) -> Buffer:
    """float32 or float16 numpy -> host buffer of `dtype`, rounded to nearest even.

    Shares the array's memory if it already has that type.
    """
    if dtype == DType.float32:
        return Buffer.from_numpy(array.astype(np.float32, copy=False))
    if dtype == DType.float16:
        return Buffer.from_numpy(array.astype(np.float16, copy=False))
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32)  # the upper half is bfloat16
    rounded = (bits + (0x7FFF + ((bits >> 16) & 1))) >> 16
    return Buffer.from_numpy(rounded.astype(np.uint16)).view(DType.bfloat16)


def zero_buffer(shape: Sequence[int], dtype: DType, placement: Placement) -> Buffer:
    """Zeros on the placement's device, complete when this returns.

    `Buffer.zeros` of MAX 26.7.0 returns before a CPU has written the zeros, and a graph does not
    wait for them: under load they overwrote keys and values that the graph had just written.
    """
    if placement.device.is_host:
        return host_buffer(np.zeros(shape, np.float32), dtype)
    buffer = Buffer.zeros(shape, dtype, placement.device)
    placement.device.synchronize()
    return buffer


def to_float32(buffer: Buffer) -> Float32:
    """Any float buffer -> float32 numpy on the host."""
    host = buffer if buffer.device.is_host else buffer.to(CPU())
    if host.dtype == DType.bfloat16:
        bits = host.view(DType.uint16).to_numpy().astype(np.uint32) << 16
        return bits.view(np.float32)
    return host.to_numpy().astype(np.float32)
