/**
 * Buffers of the device: each an allocation of its own, zeroed, in whole vectors of 16 bytes.
 *
 *     const x = memory.allocate(1000, "x")       1008 bytes; an array of vectors covers the last elements
 *     x.destroy()                                with the recordings that bind it
 */
import { WeftError } from "../../errors.js"
import type { Device, DeviceBuffer } from "../device.js"
import { type Driver, outOfMemory, resultOf } from "./driver.js"

export interface CudaBuffer extends DeviceBuffer {
  readonly pointer: number
  readonly label: string
  /** What is called when it is destroyed. */
  readonly users: Set<() => void>
}

export interface Memory {
  allocate(bytes: number, label: string): CudaBuffer
  /** @throws WeftError `device/buffer-destroyed` */
  own(buffer: DeviceBuffer): CudaBuffer
  /** The buffer, when it has these bytes. @throws WeftError `device/out-of-range`, `device/buffer-destroyed` */
  inside(buffer: DeviceBuffer, offset: number, bytes: number, what: string): CudaBuffer
  free(): void
}

/** `giveBack` makes calls that may fail on a device that is lost, with its context the current one. */
export function createMemory(
  driver: Driver,
  stream: number,
  counters: Pick<Device["counters"], "allocatedBytes">,
  giveBack: (call: () => void) => void,
): Memory {
  const buffers = new Set<CudaBuffer>()

  const destroy = (buffer: CudaBuffer) => {
    if (!buffers.delete(buffer)) return
    counters.allocatedBytes -= buffer.bytes
    // Freeing waits for the device as well, but nothing promises that it does.
    giveBack(() => driver.synchronize(stream))
    for (const end of [...buffer.users]) end()
    giveBack(() => driver.free(buffer.pointer))
  }
  const own = (buffer: DeviceBuffer): CudaBuffer => {
    const found = buffer as CudaBuffer
    if (!buffers.has(found))
      throw new WeftError("device/buffer-destroyed", `buffer '${found.label}' is not alive on this device`)
    return found
  }
  return {
    own,
    allocate(bytes, label) {
      const pointer = zeroed(driver, stream, bytes, label)
      const buffer: CudaBuffer = { bytes, label, pointer, users: new Set(), destroy: () => destroy(buffer) }
      buffers.add(buffer)
      counters.allocatedBytes += bytes
      return buffer
    },
    inside(given, offset, bytes, what) {
      const buffer = own(given)
      if (!(Number.isInteger(offset) && offset >= 0 && bytes >= 0 && offset + bytes <= buffer.bytes))
        throw new WeftError(
          "device/out-of-range",
          `${what} of bytes ${offset} to ${offset + bytes} of '${buffer.label}', which has ${buffer.bytes}`,
        )
      return buffer
    },
    free() {
      for (const buffer of [...buffers]) destroy(buffer)
    },
  }
}

/** @throws WeftError `device/out-of-memory` */
function zeroed(driver: Driver, stream: number, bytes: number, label: string): number {
  const size = Math.max(16, Math.ceil(bytes / 16) * 16)
  try {
    const pointer = driver.allocate(size)
    driver.zero(pointer, size, stream)
    return pointer
  } catch (cause) {
    if (resultOf(cause) !== outOfMemory) throw cause
    const { free, total } = driver.memory()
    throw new WeftError(
      "device/out-of-memory",
      `'${label}' needs ${bytes} bytes; ${free} of the device's ${total} are free`,
      { hint: "use a smaller model or context, or free what else is on the device", cause },
    )
  }
}
