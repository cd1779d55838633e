/**
 * Loops → what a device takes: WGSL or CUDA text for each kernel, or one WebAssembly module that exports them all.
 */
import type { ArtifactKernel } from "../../runtime/artifact.js"
import type { MatrixSpelling } from "../../runtime/matrices.js"
import { maximum } from "../ir/dim.js"
import { type LoopKernel, storageBytes } from "../ir/loop.js"
import { type CudaOptions, emitCuda } from "./cuda/emit.js"
import { preludeWith } from "./cuda/prelude.js"
import { reserved } from "./cuda/words.js"
import { createNames } from "./text/names.js"
import { emitWasm } from "./wasm/emit.js"
import { emitWgsl } from "./wgsl/emit.js"
import { defaultWgslLimits } from "./wgsl/limits.js"

export interface Emitted {
  readonly kernels: readonly ArtifactKernel[]
  /** Empty where kernels are texts. */
  readonly module: Uint8Array
  /** What stands before the texts, once. */
  readonly prelude?: string
}

export function wasmKernels(kernels: readonly LoopKernel[], symbols: readonly string[]): Emitted {
  const wasm = emitWasm(kernels, { symbols })
  return {
    kernels: kernels.map((loops, i) => kernelOf(loops, { source: "", scratch: wasm.kernels[i]!.scratch })),
    module: wasm.module,
  }
}

/** What a shader may use of an adapter. */
export interface WgslFacts {
  /** Lanes that exchange values directly; 1: none. */
  readonly subgroup: number
  readonly workgroupBytes: number
  /** Storage buffers that one kernel may bind. */
  readonly bindings: number
  /** Whether the driver may unroll serial loops. */
  readonly unrollable: boolean
  readonly f16?: boolean
  /** Atoms that are subgroup matrices, and how they are spelled. */
  readonly atoms?: readonly string[]
  readonly matrices?: MatrixSpelling | undefined
}

export const wgslKernels =
  ({ subgroup, workgroupBytes, bindings, unrollable, f16 = false, atoms = [], matrices }: WgslFacts) =>
  (kernels: readonly LoopKernel[], symbolOrder: readonly string[]): Emitted => {
    const limits = {
      ...defaultWgslLimits,
      f16,
      atoms,
      storageBuffers: bindings,
      workgroupBytes,
      ...(subgroup === 1 ? {} : { subgroups: true, subgroupSize: subgroup }),
    }
    const options = { symbolOrder, limits, unrollable, ...(matrices === undefined ? {} : { matrices }) }
    const sourceOf = (loops: LoopKernel) => emitWgsl(loops, options).source
    return {
      kernels: kernels.map((loops) => kernelOf(loops, { source: sourceOf(loops), scratch: 0 })),
      module: new Uint8Array(),
    }
  }

/** What a kernel may use of a GPU, and what it is laid out for. */
export type CudaFacts = Pick<CudaOptions, "sharedBytes" | "multiprocessors">

export const cudaKernels =
  ({ sharedBytes, multiprocessors }: CudaFacts) =>
  (kernels: readonly LoopKernel[], symbolOrder: readonly string[]): Emitted => {
    const names = createNames(reserved)
    const used = new Set<string>()
    const made = kernels.map((loops): ArtifactKernel => {
      const symbol = names.fresh(loops.name)
      const { source, parts, ...own } = emitCuda(loops, { symbol, symbolOrder, sharedBytes, multiprocessors })
      for (const part of parts) used.add(part)
      return { ...kernelOf(loops, { source, scratch: 0 }), symbol, ...own }
    })
    return { kernels: made, module: new Uint8Array(), prelude: preludeWith(used) }
  }

const wholeWords = (bytes: number): number => Math.ceil(bytes / 4) * 4

const kernelOf = (loops: LoopKernel, own: Pick<ArtifactKernel, "source" | "scratch">): ArtifactKernel => ({
  name: loops.name,
  source: own.source,
  bindings: loops.buffers.map((b) => ({
    access: b.access,
    bytes: wholeWords(maximum(b.size) * storageBytes(b.storage)),
  })),
  threads: loops.threads,
  scratch: own.scratch,
})
