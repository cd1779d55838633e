/**
 * Devices by name, for the roofline: the least time that a kernel can take there is the larger of bytes / bandwidth and operations / rate.
 *
 *   200 MB and 0.4 G operations on nvidia-h200      →   44 µs, bound by memory
 *
 * A new device is one line. `adapter` is what the compiler may know of it. What matrix units do counts at their rate, where the target can emit one of
 * their atoms.
 */
import type { ArtifactTarget } from "../../runtime/artifact.js"
import type { AdapterFacts } from "../ir/machine.js"

export interface DeviceRecord {
  /** For people. */
  readonly title: string
  /** Bytes per second that reading reaches, or that the vendor states. */
  readonly bytesPerSecond: number
  /** f32 operations per second; a fused multiply-add is two. */
  readonly operationsPerSecond: number
  /** Operations per second of matrix units with halves, by the first word of the names of atoms. */
  readonly matrixOperationsPerSecond?: Readonly<Record<string, number>>
  readonly adapter: AdapterFacts
  readonly cores: CoreFacts
  /** Where the numbers are from. */
  readonly source: string
}

/** What decides how long a kernel takes that is limited by neither bytes nor operations. */
export interface CoreFacts {
  /** Multiprocessors, each with a workgroup memory of its own. */
  readonly count: number
  readonly clockHertz: number
  /** Lanes, bytes of workgroup memory and registers that a core holds at once. */
  readonly lanes: number
  readonly sharedBytes: number
  readonly registers: number
  /** Instructions of subgroups that are issued in a cycle. */
  readonly issues: number
  /** Seconds until an element of memory is there, and one of the cache that all cores share. */
  readonly memorySeconds: number
  readonly cacheSeconds: number
  readonly cacheBytes: number
  readonly cacheBytesPerSecond: number
  /** Seconds from a kernel to the next, when it does nothing. */
  readonly launchSeconds: number
  /** The same in a CUDA graph where kernels start early; absent on what runs no CUDA. */
  readonly graphLaunchSeconds?: number
}

/** Lanes of a subgroup, and bytes of a binding, which drivers for these devices grant at least. */
const adapter: AdapterFacts = { subgroupSize: 32, bindingBytes: 2 ** 31 - 4, workgroupBytes: 49152, storageBuffers: 16 }
const hopperAdapter: AdapterFacts = { ...adapter, capability: 90 }

/**
 * NVIDIA's Hopper. Multiprocessors, lanes, registers and bytes are the vendor's. Launch: measured on an H200 through Dawn, dependent kernels of one
 * workgroup, 1.84 µs; in a CUDA graph with early starts on an H100, 0.5 µs. Memory: 700 ns is what its bytes in flight at the measured bandwidth say. The
 * cache's latency is what a step of a fold over a cached row takes. Issues: 4 at most; 2.8 is what the product of two matrices of 4,096² reaches through
 * Dawn. The cache's rate and the clock under load are assumed.
 */
const hopper: CoreFacts = {
  count: 132,
  clockHertz: 1.755e9,
  lanes: 2048,
  sharedBytes: 227 * 1024,
  registers: 65536,
  issues: 2.8,
  memorySeconds: 700e-9,
  cacheSeconds: 270e-9,
  cacheBytes: 50 * 2 ** 20,
  cacheBytesPerSecond: 7e12,
  launchSeconds: 1.84e-6,
  graphLaunchSeconds: 0.5e-6,
}

/**
 * Operations per second on Hopper's matrix units. Those of 128 lanes: measured on an H200, dense products of bf16 numbers that are not zeros reach 769 to 798
 * TFLOP/s. Those of 32 lanes: as others report of an H100, 490 to 510.
 */
const hopperMatrices = { wgmma: 790e12, mma: 500e12 }

/** Apple's cores: lanes of a core are the vendor's, all else is assumed. */
const { graphLaunchSeconds: _, ...launchedAlone } = hopper
const apple: CoreFacts = {
  ...launchedAlone,
  count: 10,
  clockHertz: 1.38e9,
  lanes: 1024,
  sharedBytes: 32 * 1024,
  cacheBytes: 8 * 2 ** 20,
  cacheBytesPerSecond: 1e12,
  launchSeconds: 5e-6,
}

/** The device as it runs what is compiled for a target; undefined where it does not. */
export function deviceOn(device: DeviceRecord, target: ArtifactTarget): DeviceRecord | undefined {
  if (target !== "cuda") return device
  const { graphLaunchSeconds } = device.cores
  if (graphLaunchSeconds === undefined) return undefined
  return { ...device, cores: { ...device.cores, launchSeconds: graphLaunchSeconds } }
}

/** The device that is explained for when none is named. */
export const defaultDevice = "nvidia-h200"

export const devices: Readonly<Record<string, DeviceRecord>> = {
  "nvidia-h200": {
    title: "NVIDIA H200",
    bytesPerSecond: 4.55e12,
    operationsPerSecond: 60e12,
    matrixOperationsPerSecond: hopperMatrices,
    adapter: hopperAdapter,
    cores: hopper,
    source: "bandwidth measured by a kernel that only reads; 60 of the vendor's 67 TFLOP/s f32",
  },
  "nvidia-h100": {
    title: "NVIDIA H100 SXM",
    bytesPerSecond: 3.1e12,
    operationsPerSecond: 60e12,
    matrixOperationsPerSecond: hopperMatrices,
    adapter: hopperAdapter,
    cores: hopper,
    source: "bandwidth measured by a kernel that only reads; 60 of the vendor's 67 TFLOP/s f32",
  },
  "nvidia-rtx-4090": {
    title: "NVIDIA GeForce RTX 4090",
    bytesPerSecond: 1.008e12,
    operationsPerSecond: 82.6e12,
    matrixOperationsPerSecond: { mma: 165e12 },
    adapter: { ...adapter, capability: 89 },
    cores: { ...hopper, count: 128, clockHertz: 2.52e9, lanes: 1536, sharedBytes: 99 * 1024, cacheBytes: 72 * 2 ** 20 },
    source: "vendor's numbers",
  },
  "apple-m3-max": {
    title: "Apple M3 Max, 40 cores",
    bytesPerSecond: 400e9,
    operationsPerSecond: 14.1e12,
    adapter: { ...adapter, f16: true },
    cores: { ...apple, count: 40 },
    source: "vendor's bandwidth; rate from 40 cores of 128 units at 1.38 GHz",
  },
  "apple-m2": {
    title: "Apple M2, 10 cores",
    bytesPerSecond: 100e9,
    operationsPerSecond: 3.6e12,
    adapter: { ...adapter, f16: true },
    cores: apple,
    source: "vendor's numbers",
  },
}

export interface Roofline {
  readonly seconds: number
  readonly bound: "memory" | "arithmetic"
}

/** Operations per second of an atom there; undefined where the device does not have it. */
export const rateOf = ({ matrixOperationsPerSecond }: DeviceRecord, atom: string): number | undefined =>
  matrixOperationsPerSecond?.[atom.split(".")[0]!]

/** What a launch or a run takes: `products` are those of its operations that matrix units may do. */
export interface Amount {
  readonly bytes: number
  readonly operations: number
  readonly products: number
  /** How often units multiply for each of these; once when left out. */
  readonly terms?: number
}

/**
 * The least time for so many bytes and operations.
 * @param atoms those that the target can emit
 */
export function rooflineOf(
  { bytes, operations, products, terms = 1 }: Amount,
  device: DeviceRecord,
  atoms: readonly string[],
): Roofline {
  const memory = bytes / device.bytesPerSecond
  const fastest = Math.max(0, ...atoms.map((atom) => rateOf(device, atom) ?? 0)) / terms
  const byUnits = fastest > device.operationsPerSecond ? products : 0
  const arithmetic = Math.max((operations - byUnits) / device.operationsPerSecond, byUnits / Math.max(1, fastest))
  return { seconds: Math.max(memory, arithmetic), bound: memory >= arithmetic ? "memory" : "arithmetic" }
}
