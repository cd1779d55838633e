/**
 * Targets as data: what schedules may assume, and what a kernel may use.
 */
import type { ArtifactTarget, Precision } from "../../runtime/artifact.js"
import type { GatherLimits } from "../passes/gather.js"
import type { ScheduleTarget } from "../passes/schedule.js"
import type { SplitLimits } from "../passes/split.js"
import type { TileOptions } from "../passes/tile.js"

export interface Target {
  readonly name: ArtifactTarget
  readonly schedule: ScheduleTarget
  readonly tile: TileOptions
  /** When rows are grouped by what data choose for them: it pays where a register tile runs along the places. Never when left out. */
  readonly gather?: GatherLimits
  /** When long folds are split over blocks; never when left out. */
  readonly split?: SplitLimits
  /** Whether the driver may unroll serial loops: those of hardware do it well, a software adapter compiles for seconds. */
  readonly unrollable: boolean
  /** Whether sums of products that read halves are taken in f16, a few at a time. */
  readonly f16?: boolean
  /** Storage buffers that one kernel may bind. */
  readonly bindings: number
  /** Bytes of a buffer that one kernel may bind. */
  readonly bindingBytes: number
}

export const wasmTarget: Target = {
  name: "wasm",
  schedule: {
    lanes: 1,
    vector: 4,
    halves: 8,
    registers: 8,
    block: 128,
    busy: 1,
    subgroup: 1,
    chunks: { lanes: 1, vector: 4, subgroup: 1, registers: 8, sharedBytes: 1 << 16, contraction: false },
  },
  tile: { maxGroups: 65536, sharedBytes: 1 << 20 },
  gather: { rows: 4, block: 4 },
  unrollable: false,
  bindings: 32,
  bindingBytes: 2 ** 32,
}

/** The limits that every WebGPU implementation grants. */
export const webgpuTarget: Target = {
  name: "webgpu",
  schedule: { lanes: 32, vector: 4, registers: 1, block: 64, busy: 1, subgroup: 1 },
  tile: { maxGroups: 4096, sharedBytes: 16384 },
  unrollable: false,
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

export function targetFor(name: ArtifactTarget, adapter?: AdapterFacts, precision: Precision = "exact"): Target {
  switch (name) {
    case "wasm":
      return wasmTarget
    case "webgpu": {
      const size = adapter?.subgroupSize || 1
      // Wide subgroups are those of hardware: many short blocks fill it. Software runs few long ones better.
      const shape = size >= 16 ? { lanes: 256, block: 16, busy: 512 } : { lanes: 32, block: 64, busy: 1 }
      const sharedBytes = adapter?.workgroupBytes ?? webgpuTarget.tile.sharedBytes
      const subgroup = Math.min(size, 32)
      const hardware = size >= 16
      const registers = hardware ? 8 : 1
      const f16 = precision === "fast" && adapter?.f16 === true
      const chunks = {
        lanes: hardware ? 256 : 32,
        vector: 4,
        subgroup,
        registers,
        sharedBytes,
        contraction: hardware,
        packed: f16,
      }
      const bindingBytes = adapter?.bindingBytes ?? webgpuTarget.bindingBytes
      return {
        ...webgpuTarget,
        bindings: adapter?.storageBuffers ?? webgpuTarget.bindings,
        bindingBytes,
        unrollable: hardware,
        f16,
        ...(hardware ? { split: { busy: 256, parts: 64, least: 64 } } : {}),
        tile: { ...webgpuTarget.tile, sharedBytes },
        schedule: { ...webgpuTarget.schedule, ...shape, subgroup, chunks },
      }
    }
    default:
      return name satisfies never
  }
}
