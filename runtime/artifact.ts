/**
 * The artifact: what the compiler makes and the runtime executes. Plain JSON but for binary kernels and constants, which are base64.
 *
 * A plan names buffers, which are placed in slots; entries are flat lists of launches. Sizes that change from step to step are symbols:
 * they lie in one small device buffer in the order of `symbols`, and neither the kernels nor the launches depend on their values.
 */
import type { Span } from "./errors.js"

export const artifactVersion = 5

/** Steps that a device may have under way, of which the host has not seen the tokens, at most: what they append may be let go. */
export const mostAhead = 8

/** What artifacts are compiled for, which is a device's kind, too. */
export const targetNames = ["webgpu", "wasm", "cuda"] as const
export type ArtifactTarget = (typeof targetNames)[number]
/**
 * How values are kept between kernels: as they are computed, or rounded to bf16 where that costs little, with products for those in f16 where
 * the adapter has it.
 */
export const precisionNames = ["exact", "fast"] as const
export type Precision = (typeof precisionNames)[number]
/** Where nobody asks for another, and the device is not known to gain by one. */
export const defaultPrecision: Precision = "exact"
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
  /** `weight`: uploaded once from the checkpoint; `constant`: uploaded once from the artifact; `state`: kept between steps, zero when a sequence begins;
   * `input`, `output`: written or read by the host; `scratch`: only inside one entry. */
  readonly role: "weight" | "constant" | "state" | "input" | "output" | "scratch"
  readonly storage: StorageName
  /** Elements at the symbols' maxima, in the order of the layout. */
  readonly shape: readonly number[]
  readonly bytes: number
  readonly slot: number
  /** Bytes that one more token adds to a state: beyond past + seq of them nothing was ever written. Absent when any byte may be. */
  readonly row?: number
  /** Of the rows of a state from before a step, the last ones that it may read. Row r lies at r mod shape[0]: later ones take the place of the others. */
  readonly keeps?: number
}

/** A tensor of the checkpoint and where its elements go: row-major, from byte `offset` of the buffer. */
export interface ArtifactWeight {
  readonly buffer: number
  readonly offset: number
  readonly tensor: string
  /** The shape that the checkpoint must have. */
  readonly shape: readonly number[]
  readonly storage: "f32" | "bf16" | "f16" | "u32"
  /** The format in which the tensor is stored: `part` are bytes of its planes then (`weights/formats`). */
  readonly format?: string
  /** The bytes of the tensor that go there; all when left out. */
  readonly part?: { readonly begin: number; readonly end: number }
}

export interface ArtifactConstant {
  readonly buffer: number
  /** Little-endian bytes of the buffer. */
  readonly base64: string
}

/**
 * CUDA: a matrix of which a kernel copies boxes: `rows` of `columns` elements, each `stride` elements behind the one before, from the beginning of what is
 * bound. A row of a box has 32, 64 or 128 bytes, in the order of the swizzle that is as wide.
 */
export interface ArtifactMatrix {
  readonly binding: number
  readonly storage: Exclude<StorageName, "bool">
  readonly rows: number
  readonly columns: number
  readonly stride: number
  readonly box: readonly [height: number, width: number]
}

export interface ArtifactKernel {
  readonly name: string
  /**
   * WGSL text; empty on WebAssembly, where all kernels are exports of `module`, named like the kernel. On CUDA a function in C++ without headers,
   * to be compiled after the artifact's `prelude`: `extern "C" __global__ void symbol(a pointer per binding…, a map per matrix…, const int* symbols)`.
   */
  readonly source: string
  /** CUDA: the function's name; no two kernels of an artifact share one. */
  readonly symbol?: string
  /** CUDA: bytes of dynamic shared memory that a launch provides. */
  readonly sharedBytes?: number
  /** CUDA: matrices of which the kernel copies boxes. */
  readonly matrices?: readonly ArtifactMatrix[]
  /** CUDA: every block waits for the launches before it itself, so that it may start before they have ended. */
  readonly early?: true
  /** `bytes`: as far as it reaches into what is bound. */
  readonly bindings: readonly { readonly access: "read" | "write" | "readwrite"; readonly bytes?: number }[]
  /** Threads of a workgroup. */
  readonly threads: number
  /** Bytes of private memory that a worker needs (WebAssembly). */
  readonly scratch: number
  /**
   * The compiler has proven that each access lies within its array and the bytes of its binding, whatever the symbols are from 0 to their maxima,
   * as long as the entries that launch it have what they need.
   */
  readonly proven?: true
  readonly span?: Span
}

export interface ArtifactLaunch {
  readonly kernel: number
  /** A buffer per binding. */
  readonly buffers: readonly number[]
  /** Workgroups; a constant. */
  readonly groups: number
}

/** All kernels of an artifact as a GPU takes them: `cubin` for one architecture, `ptx` for those from it on. */
export interface ArtifactModule {
  /** As the compilers name it: sm_90a. */
  readonly arch: string
  readonly kind: "cubin" | "ptx"
  readonly base64: string
}

/** A sequence of launches with the symbols that the host sets before it. */
export interface ArtifactEntry {
  readonly launches: readonly ArtifactLaunch[]
  /** The largest values of symbols that it may run with, by name, where they are less than the symbols' own. */
  readonly most?: Readonly<Record<string, number>>
  /** The entry that it does the same as, by kernels of its own for fewer elements. */
  readonly variantOf?: string
  /** What its sizes must be at least, beside what the arrays say. */
  readonly needs?: readonly ArtifactNeed[]
}

/** An extent that must have so many elements. `text` says who takes them, and where. */
export interface ArtifactNeed {
  readonly extent: ArtifactExtent
  readonly least: number
  readonly text: string
}

export interface Artifact {
  readonly format: "weft"
  readonly version: typeof artifactVersion
  readonly target: ArtifactTarget
  readonly precision: Precision
  /** What a model that generates is like. An artifact holds either this or `program`. */
  readonly model?: ArtifactModel
  /** What the program of the entry `run` takes and gives. */
  readonly program?: ArtifactProgram
  readonly symbols: readonly ArtifactSymbol[]
  readonly slots: readonly ArtifactSlot[]
  readonly buffers: readonly ArtifactBuffer[]
  readonly weights: readonly ArtifactWeight[]
  readonly constants: readonly ArtifactConstant[]
  readonly kernels: readonly ArtifactKernel[]
  /** Base64 of the WebAssembly module of all kernels; empty on other targets. */
  readonly module: string
  /** CUDA: the text that stands once before the kernels of a translation unit. */
  readonly prelude?: string
  /** CUDA: what was compiled ahead of time; where no architecture fits, the kernels' sources are compiled. */
  readonly modules?: readonly ArtifactModule[]
  readonly entries: Readonly<Record<string, ArtifactEntry>>
}

/** The arrays of a program, in the order in which it declares them. */
export interface ArtifactProgram {
  readonly inputs: readonly ArtifactArray[]
  readonly outputs: readonly ArtifactArray[]
}

/** An array of the host, row-major in the order of `axes`, and the buffer where its elements lie. */
export interface ArtifactArray {
  readonly name: string
  readonly buffer: number
  /** `stride`: elements of the buffer from one place along the axis to the next. */
  readonly axes: readonly { readonly name: string; readonly extent: ArtifactExtent; readonly stride: number }[]
}

/** A number, or a sum of terms: 2·row − 1 is `[{ factor: 2, symbols: ["row"] }, { factor: -1, symbols: [] }]`. */
export type ArtifactExtent = number | readonly ArtifactTerm[]
export interface ArtifactTerm {
  readonly factor: number
  /** Their product. */
  readonly symbols: readonly string[]
}

/** The extent when `value` gives the symbols their values. */
export function extentAt(extent: ArtifactExtent, value: (symbol: string) => number): number {
  if (typeof extent === "number") return extent
  return extent.reduce((n, { factor, symbols }) => symbols.reduce((product, s) => product * value(s), factor) + n, 0)
}

export interface ArtifactModel {
  readonly family: string
  /** Longest sequence, prompt included. */
  readonly context: number
  /** Tokens that one step takes at most. */
  readonly chunk: number
  readonly vocabulary: number
  readonly endTokens: readonly number[]
  /** Names that a checkpoint may hold beside the weights, with `*` for any part; and other names of weights. */
  readonly ignore?: readonly string[]
  readonly alternatives?: Readonly<Record<string, readonly string[]>>
}

/** Whether each access of each kernel is proven to lie where it may, so that a device need not look. */
export const isProven = ({ kernels }: Artifact): boolean => kernels.every((k) => k.proven === true)

/** The bytes of a tensor that go into a buffer. */
export const weightBytes = ({ shape, storage, part }: ArtifactWeight): number =>
  part === undefined
    ? shape.reduce((n, s) => n * s, 1) * (storage === "f32" || storage === "u32" ? 4 : 2)
    : part.end - part.begin
