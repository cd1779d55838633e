/**
 * The artifact: what the compiler makes and the runtime executes. Plain JSON but for binary kernels and constants, which are base64.
 *
 * A plan names buffers, which are placed in slots; entries are flat lists of launches. Sizes that change from step to step are symbols:
 * they lie in one small device buffer in the order of `symbols`, and neither the kernels nor the launches depend on their values.
 */
import type { Span } from "./errors.js"

export const artifactVersion = 1

export type ArtifactTarget = "webgpu" | "wasm"
export type StorageName = "f32" | "i32" | "u32" | "bool" | "bf16" | "f16"

export interface ArtifactSymbol {
  readonly name: string
  /** The largest legal value. */
  readonly max: number
}

/** Memory on the device. Two buffers with lifetimes that do not meet may share a slot. */
export interface ArtifactSlot {
  readonly bytes: number
}

export interface ArtifactBuffer {
  readonly name: string
  /** `weight`: uploaded once from the checkpoint; `constant`: uploaded once from the artifact; `state`: kept between steps, zero at first;
   * `input`, `output`: written or read by the host; `scratch`: only inside one entry. */
  readonly role: "weight" | "constant" | "state" | "input" | "output" | "scratch"
  readonly storage: StorageName
  /** Elements at the symbols' maxima, in the order of the layout. */
  readonly shape: readonly number[]
  readonly bytes: number
  readonly slot: number
}

/** A tensor of the checkpoint and where its elements go: row-major, whole, from byte `offset` of the buffer. */
export interface ArtifactWeight {
  readonly buffer: number
  readonly offset: number
  readonly tensor: string
  /** The shape that the checkpoint must have. */
  readonly shape: readonly number[]
  readonly storage: "f32" | "bf16" | "f16"
}

export interface ArtifactConstant {
  readonly buffer: number
  /** Little-endian bytes of the buffer. */
  readonly base64: string
}

export interface ArtifactKernel {
  readonly name: string
  /** WGSL text; empty on WebAssembly, where all kernels are exports of `module`, named like the kernel. */
  readonly source: string
  readonly bindings: readonly { readonly access: "read" | "write" | "readwrite" }[]
  /** Lanes per workgroup. */
  readonly lanes: number
  /** Bytes of private memory that a worker needs (WebAssembly). */
  readonly scratch: number
  readonly span?: Span
}

export interface ArtifactLaunch {
  readonly kernel: number
  /** A buffer per binding. */
  readonly buffers: readonly number[]
  /** Workgroups; a constant. */
  readonly groups: number
}

/** A sequence of launches with the symbols that the host sets before it. */
export interface ArtifactEntry {
  readonly launches: readonly ArtifactLaunch[]
}

export interface Artifact {
  readonly format: "weft"
  readonly version: typeof artifactVersion
  readonly target: ArtifactTarget
  readonly precision: "exact" | "fast"
  /** Model facts that the runtime needs: family, context length, vocabulary, end tokens. */
  readonly model: ArtifactModel
  readonly symbols: readonly ArtifactSymbol[]
  readonly slots: readonly ArtifactSlot[]
  readonly buffers: readonly ArtifactBuffer[]
  readonly weights: readonly ArtifactWeight[]
  readonly constants: readonly ArtifactConstant[]
  readonly kernels: readonly ArtifactKernel[]
  /** Base64 of the WebAssembly module of all kernels; empty on WebGPU. */
  readonly module: string
  readonly entries: Readonly<Record<string, ArtifactEntry>>
}

export interface ArtifactModel {
  readonly family: string
  /** Longest sequence, prompt included. */
  readonly context: number
  /** Tokens that one prefill takes at most. */
  readonly chunk: number
  readonly vocabulary: number
  readonly endTokens: readonly number[]
}
