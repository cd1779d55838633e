/**
 * The loop language: a scheduled imperative program, the last before text.
 *
 * A kernel is run by `groups` workgroups of `threads` lanes. Its body is one `for … grid` whose iterations (cells) are shared out over the workgroups
 * (a workgroup may run several: `for (g = workgroup; g < extent; g += workgroups)`), around one `for … lane` whose iterations are the lanes.
 * Everything inside runs on every lane; `shared` arrays are common to the lanes of a workgroup and need a `barrier` between a write by one lane and
 * a read by another; `register` arrays and variables belong to a lane. Array contents are undefined until they are stored.
 *
 *   for group < 9496 grid { shared …; for lane < 256 lane { … } }                     each cell by itself
 *   shared row …; for lane < 256 lane { row[…] = …; for group < 9496 grid { … } }     what comes first: once for all cells of a workgroup
 *
 * The second form has a prologue, which stores to arrays of the workgroup and of its lanes only; `workgroup` and `workgroups` are the number of this
 * workgroup and how many there are, for it does not know which cells it is for. The grid loop ends the lane loop then; all lanes of a workgroup run the
 * same cells. Arrays in front of the lane loop live as long as the workgroup, those in the grid loop as long as a cell.
 *
 * `await` and `release` stand directly in the lane loop, in front of the grid loop where that is inside; targets whose launches wait for one another
 * anyway leave them out.
 *
 * Semantics: `let` binds once; a variable declared `mutable` may be assigned; a `for` with a literal extent and bind `unroll` is printed
 * unrolled; the extent of a `for` and the condition of an `if` around a barrier must be the same for all lanes of a workgroup (made of literals, symbols,
 * `workgroup`, the grid variable and serial variables of such loops). Offsets count elements of the array's dtype. A fetch or store of `width` w touches w
 * consecutive elements; its offset is a multiple of w.
 *
 * Matrix units. A register array with a layout holds fragments of an atom's operand (atoms.ts), one behind the other; where the layout is known, its elements
 * are fetched and stored as those of any array; where it is not, no statement but those below sees them, and results begin at 0. `multiply`, `fill` and `drain` are done by all lanes of the atom's group together, in the same iteration
 * and with the same offsets. `copy`, and `multiply` of an asynchronous atom, only begin something: until the lanes that began it have waited for its group,
 * nobody may touch what is written to, nor store to what is read.
 *
 * Boxes. `copyBoxes` is a copy of whole boxes of matrices that the workgroup's first lane begins for all: group `number` of those that arrive at `arrivals`,
 * counted from 0 in each cell. `arrived` waits for it, each lane for each group in order; what has arrived is there for the lanes that have waited.
 * No more groups are under way than `arrivals` has places. With `last` a group goes where the one before in its place was: each lane that comes has left
 * that, and the last one to come begins the copy. So no lane waits for others, and a place is taken when nobody reads it any more.
 */

import type { Dim } from "./dim.js"
import type { Expression } from "./nodes.js"
import type { DType } from "./operations.js"

/** How values lie in memory. Loads widen to the dtype, stores round to nearest even. bool is stored as u32. */
export type Storage = "f32" | "i32" | "u32" | "bool" | "bf16" | "f16"

/** Storages of which two elements share a word. */
export type Half = Extract<Storage, "bf16" | "f16">

/** An element of an array; of fragments, counted in those of one lane. */
export interface Place {
  readonly array: string
  readonly offset: Expression
}

/**
 * A tile in memory: element (row, column) at offset + row · stride + column; transposed, at offset + column · stride + row. With `panel` what is
 * wider than `stride` lies side by side in panels so wide, each so many elements behind the one before.
 */
export interface Tile extends Place {
  readonly stride: number
  readonly transposed: boolean
  readonly panel?: number
}

/**
 * A box of a matrix that lies in a buffer from its beginning on: element (r, c) of `rows` × `columns` is at r · stride + c. The box begins at (row, column).
 * What of it is beyond the matrix becomes zeros.
 */
export interface Box {
  readonly array: string
  readonly rows: number
  readonly columns: number
  readonly stride: number
  readonly row: Expression
  readonly column: Expression
  readonly height: number
  readonly width: number
}

/** A box, and where it goes: its rows one behind the other. */
export interface BoxCopy {
  readonly to: Place
  readonly from: Box
}

/** Whether an operand lies in memory, and not in fragments. */
export const isTile = (place: Place | Tile): place is Tile => "stride" in place

/** Of c += a · b. */
export type OperandName = "a" | "b" | "c"

/** What may be under way: groups of each are counted by themselves. */
export type Pending = "copies" | "products"

export type Bind = "grid" | "lane" | "serial" | "unroll"

export type Statement =
  | {
      readonly kind: "for"
      readonly variable: string
      readonly extent: Expression
      readonly bind: Bind
      readonly body: readonly Statement[]
    }
  | {
      readonly kind: "if"
      readonly condition: Expression
      readonly body: readonly Statement[]
      readonly otherwise: readonly Statement[]
    }
  /** A scope: names declared inside end with it. */
  | { readonly kind: "block"; readonly body: readonly Statement[] }
  | { readonly kind: "let"; readonly name: string; readonly value: Expression; readonly mutable: boolean }
  | { readonly kind: "assign"; readonly name: string; readonly value: Expression }
  /**
   * Visible until the end of the enclosing scope. `shared` arrays stand directly in the grid loop, or in front of a lane loop that is around it.
   * With `storage` two f32 share a word, as in a buffer. With `layout` it is of fragments, and `size` what one lane holds of them. `swizzle` says how
   * a shared array lies in memory: rows of so many bytes, in which pieces of 16 change places from row to row; offsets do not show it, but no access may cross 16 bytes.
   * What is `aside` is a lane's own as registers are, but touched so rarely that it is worth none.
   */
  | {
      readonly kind: "alloc"
      readonly name: string
      readonly dtype: DType
      readonly storage?: Half
      readonly size: number
      readonly space: "register" | "shared"
      readonly layout?: { readonly atom: string; readonly operand: OperandName }
      readonly swizzle?: 32 | 64 | 128
      readonly aside?: true
    }
  /**
   * With `adds` the value is added to the element in one step, whatever other lanes add to it meanwhile: of integers in shared arrays only, so that
   * any order gives the same. What is read or stored otherwise of the element needs a barrier between.
   */
  | {
      readonly kind: "store"
      readonly array: string
      readonly offset: Expression
      readonly value: Expression
      readonly adds?: true
    }
  /** name = the value of the lane whose number is this lane's XOR `mask` within its subgroup. */
  | { readonly kind: "shuffle"; readonly name: string; readonly value: Expression; readonly mask: number }
  /** All lanes of the workgroup arrive before one goes on; writes to shared arrays and buffers before it are visible after it. */
  | { readonly kind: "barrier" }
  /** The launches before this one have ended. A kernel with it may start earlier, and touches until then nothing but steady buffers. */
  | { readonly kind: "await" }
  /** `width` elements are about to be read: they may be asked for. Nothing waits for them. */
  | { readonly kind: "prefetch"; readonly array: string; readonly offset: Expression; readonly width: number }
  /** Launches after this one may start: they wait for its end by themselves, and it ends after it has waited. */
  | { readonly kind: "release" }
  /** c += a · b: fragments, or tiles of shared arrays where the atom takes them from there. With `fresh` c = a · b, whatever c was. */
  | {
      readonly kind: "multiply"
      readonly atom: string
      readonly fresh?: true
      readonly c: Place
      readonly a: Place | Tile
      readonly b: Place | Tile
    }
  /** `count` fragments of an operand from an array of the workgroup or a buffer; that of number i lies i · `step` elements behind the first. */
  | {
      readonly kind: "fill"
      readonly atom: string
      readonly operand: OperandName
      readonly to: Place
      readonly from: Place
      readonly stride: Expression
      readonly transposed: boolean
      readonly count: number
      readonly step: number
    }
  /** One fragment of results to an array of the workgroup. */
  | {
      readonly kind: "drain"
      readonly atom: string
      readonly from: Place
      readonly to: Place
      readonly stride: Expression
      readonly transposed: boolean
    }
  /** Begins to copy `width` elements of a buffer to a shared array; where `valid` is false zeros, and nothing is read. */
  | {
      readonly kind: "copy"
      readonly to: Place
      readonly from: Place
      readonly width: number
      readonly valid?: Expression
    }
  /** What this lane has begun since its last `commit` is one group. */
  | { readonly kind: "commit"; readonly of: Pending }
  /** Where groups of boxes arrive, so many of them at a time. All lanes come here together. */
  | { readonly kind: "arrivals"; readonly name: string; readonly places: number }
  | {
      readonly kind: "copyBoxes"
      readonly arrivals: string
      readonly number: Expression
      readonly boxes: readonly BoxCopy[]
      readonly last?: true
    }
  | { readonly kind: "arrived"; readonly arrivals: string; readonly number: Expression }
  /** Of this lane's groups only the `groups` youngest may still be under way; what others copied is there after a barrier besides. */
  | { readonly kind: "wait"; readonly of: Pending; readonly groups: number }

/** The statements of some kinds. */
export type StatementOf<K extends Statement["kind"]> = Statement & { readonly kind: K }

export interface LoopBuffer {
  readonly name: string
  readonly dtype: DType
  readonly storage: Storage
  /** Elements; an upper bound holds at the symbols' maxima. */
  readonly size: Dim
  readonly access: "read" | "write" | "readwrite"
  /** Written by no launch: a weight or a constant. */
  readonly steady?: true
  /** A steady one of which no workgroup reads an element again, nor many another's: it need not be kept near. */
  readonly once?: true
}

export interface LoopKernel {
  readonly name: string
  readonly buffers: readonly LoopBuffer[]
  /** Names of the size symbols that the body reads, sorted; targets pass them in this order. */
  readonly symbols: readonly string[]
  readonly threads: number
  /** Workgroups to launch: the grid's extent at the symbols' maxima, at most a cap; a constant, so that a recording never changes. */
  readonly groups: number
  readonly body: readonly Statement[]
}

/** The number of the workgroup that runs, and how many there are: names that are bound everywhere. */
export const workgroupNames = ["workgroup", "workgroups"] as const

/** Whether targets must pack two elements into a 32-bit word. */
export const packed = (s: Storage): s is Half => s === "bf16" || s === "f16"
export const storageBytes = (s: Storage): number => (packed(s) ? 2 : 4)
export const storageType = (s: Storage): DType => (packed(s) ? "f32" : (s as DType))
