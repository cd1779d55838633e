/**
 * Loops → what a device takes: WGSL text for each kernel, or one WebAssembly module that exports them all.
 */
import type { ArtifactKernel } from "../../runtime/artifact.js"
import type { LoopKernel } from "../ir/loop.js"
import type { Target } from "./target.js"
import { emitWasm } from "./wasm/emit.js"
import { emitWgsl } from "./wgsl/emit.js"
import { defaultWgslLimits } from "./wgsl/limits.js"

export interface Emitted {
  readonly kernels: readonly ArtifactKernel[]
  /** Empty on WebGPU. */
  readonly module: Uint8Array
}

/** @param symbols in the order in which the device holds them */
export function emitKernels(kernels: readonly LoopKernel[], symbols: readonly string[], target: Target): Emitted {
  const wasm = target.name === "wasm" ? emitWasm(kernels, { symbols }) : undefined
  const options = { symbolOrder: symbols, limits: wgslLimits(target), unrollable: target.unrollable }
  return {
    kernels: kernels.map(
      (loops, i): ArtifactKernel => ({
        name: loops.name,
        source: wasm === undefined ? emitWgsl(loops, options).source : "",
        bindings: loops.buffers.map((b) => ({ access: b.access })),
        lanes: loops.lanes,
        scratch: wasm === undefined ? 0 : wasm.kernels[i]!.scratch,
      }),
    ),
    module: wasm === undefined ? new Uint8Array() : wasm.module,
  }
}

/** The limits that every adapter grants, with subgroups and shared memory as the target has them. */
const wgslLimits = ({ schedule, tile, bindings, f16 = false }: Target) => ({
  ...defaultWgslLimits,
  f16,
  storageBuffers: bindings,
  workgroupBytes: tile.sharedBytes,
  ...(schedule.subgroup === 1 ? {} : { subgroups: true, subgroupSize: schedule.subgroup }),
})
