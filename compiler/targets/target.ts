/**
 * Targets as data: what schedules may assume, and what a kernel may use.
 */
import type { ArtifactTarget } from "../../runtime/artifact.js"
import type { ScheduleTarget } from "../passes/schedule.js"
import type { TileOptions } from "../passes/tile.js"

export interface Target {
  readonly name: ArtifactTarget
  readonly schedule: ScheduleTarget
  readonly tile: TileOptions
  /** Storage buffers that one kernel may bind. */
  readonly bindings: number
}

export const wasmTarget: Target = {
  name: "wasm",
  schedule: { lanes: 1, vector: 4, registers: 8, block: 128 },
  tile: { maxGroups: 65536, sharedBytes: 1 << 20 },
  bindings: 32,
}

/** The limits that every WebGPU implementation grants. */
export const webgpuTarget: Target = {
  name: "webgpu",
  schedule: { lanes: 32, vector: 4, registers: 1, block: 64 },
  tile: { maxGroups: 4096, sharedBytes: 16384 },
  bindings: 8,
}

export const targets: Readonly<Record<ArtifactTarget, Target>> = { wasm: wasmTarget, webgpu: webgpuTarget }
