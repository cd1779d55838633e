/**
 * Devices by name, for the roofline: the least time that a kernel can take there is the larger of bytes / bandwidth and operations / rate.
 *
 *   200 MB and 0.4 G operations on nvidia-h200      →   44 µs, bound by memory
 *
 * A new device is one line. `adapter` is what the compiler may know of it; rates are of f32 arithmetic without matrix units.
 */
import type { AdapterFacts } from "../ir/machine.js"

export interface DeviceRecord {
  /** For people. */
  readonly title: string
  /** Bytes per second that reading reaches, or that the vendor states. */
  readonly bytesPerSecond: number
  /** f32 operations per second; a fused multiply-add is two. */
  readonly operationsPerSecond: number
  readonly adapter: AdapterFacts
  /** Where the numbers are from. */
  readonly source: string
}

/** Lanes of a subgroup, and bytes of a binding, which drivers for these devices grant at least. */
const adapter: AdapterFacts = { subgroupSize: 32, bindingBytes: 2 ** 31 - 4, workgroupBytes: 49152, storageBuffers: 16 }

/** The device that is explained for when none is named. */
export const defaultDevice = "nvidia-h200"

export const devices: Readonly<Record<string, DeviceRecord>> = {
  "nvidia-h200": {
    title: "NVIDIA H200",
    bytesPerSecond: 4.55e12,
    operationsPerSecond: 60e12,
    adapter,
    source: "bandwidth measured by a kernel that only reads; 60 of the vendor's 67 TFLOP/s f32",
  },
  "nvidia-rtx-4090": {
    title: "NVIDIA GeForce RTX 4090",
    bytesPerSecond: 1.008e12,
    operationsPerSecond: 82.6e12,
    adapter,
    source: "vendor's numbers",
  },
  "apple-m3-max": {
    title: "Apple M3 Max, 40 cores",
    bytesPerSecond: 400e9,
    operationsPerSecond: 14.1e12,
    adapter: { ...adapter, f16: true },
    source: "vendor's bandwidth; rate from 40 cores of 128 units at 1.38 GHz",
  },
  "apple-m2": {
    title: "Apple M2, 10 cores",
    bytesPerSecond: 100e9,
    operationsPerSecond: 3.6e12,
    adapter: { ...adapter, f16: true },
    source: "vendor's numbers",
  },
}

export interface Roofline {
  readonly seconds: number
  readonly bound: "memory" | "arithmetic"
}

/** The least time for so many bytes and operations. */
export function rooflineOf(
  { bytes, operations }: { readonly bytes: number; readonly operations: number },
  device: DeviceRecord,
): Roofline {
  const memory = bytes / device.bytesPerSecond
  const arithmetic = operations / device.operationsPerSecond
  return { seconds: Math.max(memory, arithmetic), bound: memory >= arithmetic ? "memory" : "arithmetic" }
}
