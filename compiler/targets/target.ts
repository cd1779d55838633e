/**
 * Targets as data: what schedules may assume, and what a kernel may use.
 */
import { type ArtifactTarget, defaultPrecision } from "../../runtime/artifact.js"
import type { LoopKernel } from "../ir/loop.js"
import type { Machine } from "../ir/machine.js"
import { clean } from "../loop/clean.js"
import { halveProducts } from "../loop/half-products.js"
import { hoistInvariants } from "../loop/hoist-invariants.js"
import { mergeLoads } from "../loop/merge-loads.js"
import { type Emitted, wasmKernels, wgslKernels } from "./emit.js"

export interface LoopPass {
  readonly name: string
  readonly run: (loops: LoopKernel) => LoopKernel
}

export interface Target extends Machine {
  readonly name: ArtifactTarget
  /** What is done with loops before they are emitted, in order. */
  readonly loopPasses: readonly LoopPass[]
  /** Loops as the device takes them; `symbols` in the order in which it holds them. */
  readonly emit: (kernels: readonly LoopKernel[], symbols: readonly string[]) => Emitted
}

const common: readonly LoopPass[] = [
  { name: "clean", run: clean },
  { name: "invariants", run: hoistInvariants },
]
/** Devices that fetch four elements at once. */
const wide: readonly LoopPass[] = [...common, { name: "vectors", run: mergeLoads }]
const halves: LoopPass = { name: "halve", run: halveProducts }

export const wasmTarget: Target = {
  name: "wasm",
  schedule: {
    threads: 1,
    vector: 4,
    halves: 8,
    registers: 8,
    block: 128,
    busy: 1,
    subgroup: 1,
    chunks: { threads: 1, vector: 4, subgroup: 1, registers: 8, sharedBytes: 1 << 16, contraction: false },
  },
  tile: { maxGroups: 65536, sharedBytes: 1 << 20 },
  gather: { rows: 4, block: 4 },
  loopPasses: common,
  emit: wasmKernels,
  bindings: 32,
  bindingBytes: 2 ** 32,
}

/** The limits that every WebGPU implementation grants. */
export const webgpuTarget: Target = {
  name: "webgpu",
  schedule: { threads: 32, vector: 4, registers: 1, block: 64, busy: 1, subgroup: 1 },
  tile: { maxGroups: 4096, sharedBytes: 16384 },
  loopPasses: wide,
  emit: wgslKernels({ subgroup: 1, workgroupBytes: 16384, bindings: 8, unrollable: false }),
  bindings: 8,
  bindingBytes: 2 ** 27,
}

/** What the compiler may know of the adapter that will run the artifact. */
export interface AdapterFacts {
  /** Lanes of the smallest subgroup; 0: no subgroups. */
  readonly subgroupSize: number
  /** Bytes of a buffer that it binds; what every adapter grants when left out. */
  readonly bindingBytes?: number
  /** Bytes that a workgroup may hold; what every adapter grants when left out. */
  readonly workgroupBytes?: number
  /** Buffers that a kernel may bind; what every adapter grants when left out. */
  readonly storageBuffers?: number
  /** Whether it has arithmetic of f16; used where results need not be exact. */
  readonly f16?: boolean
}

export function targetFor(name: ArtifactTarget, adapter?: AdapterFacts, precision = defaultPrecision): Target {
  switch (name) {
    case "wasm":
      return wasmTarget
    case "webgpu": {
      const size = adapter?.subgroupSize || 1
      // Wide subgroups are those of hardware: many short blocks fill it. Software runs few long ones better.
      const shape = size >= 16 ? { threads: 256, block: 16, busy: 512 } : { threads: 32, block: 64, busy: 1 }
      const sharedBytes = adapter?.workgroupBytes ?? webgpuTarget.tile.sharedBytes
      const subgroup = Math.min(size, 32)
      const hardware = size >= 16
      const registers = hardware ? 8 : 1
      const f16 = precision === "fast" && adapter?.f16 === true
      const chunks = {
        threads: hardware ? 256 : 32,
        vector: 4,
        subgroup,
        registers,
        sharedBytes,
        contraction: hardware,
        packed: f16,
      }
      const bindings = adapter?.storageBuffers ?? webgpuTarget.bindings
      return {
        ...webgpuTarget,
        bindings,
        bindingBytes: adapter?.bindingBytes ?? webgpuTarget.bindingBytes,
        loopPasses: f16 ? [...wide, halves] : wide,
        // Drivers of hardware unroll serial loops well; a software adapter would compile for seconds.
        emit: wgslKernels({ subgroup, workgroupBytes: sharedBytes, bindings, unrollable: hardware, f16 }),
        ...(hardware ? { split: { busy: 256, parts: 64, least: 64 } } : {}),
        tile: { ...webgpuTarget.tile, sharedBytes },
        schedule: { ...webgpuTarget.schedule, ...shape, subgroup, chunks },
      }
    }
    default:
      return name satisfies never
  }
}
