/**
 * Atoms: what matrix units multiply at once, as data. c += a · b, where a is m × k, b is k × n and c is m × n; lanes of a group hold them together.
 *
 *   mma.m16n8k16.bf16     32 lanes, each with 8 elements of a, 4 of b and 4 of c
 *   wgmma.m64n128k16.bf16 128 lanes; b, and a where one likes, lie in memory that the lanes share; c comes later
 *   subgroup.m16n16k16.f16 32 lanes, of which only the hardware knows what each holds: WebGPU's subgroup matrices, which are experimental
 *
 * The tables are those of the PTX ISA, "Matrix Fragments for mma.m16n8k16 with floating point type" and "Register Fragments for wgmma.mma_async.m64nNk16".
 */

import type { Half, OperandName } from "../loop.js"
import { type Layout, layout } from "./layout.js"

export interface Operand<S extends Half | "f32" = Half | "f32"> {
  readonly storage: S
  /** Which element a register of a lane holds; undefined: only the hardware knows. */
  readonly layout: Layout | undefined
  /** Where it may lie. */
  readonly places: readonly ("fragment" | "shared")[]
}

export interface Atom {
  readonly name: string
  readonly m: number
  readonly n: number
  readonly k: number
  /** Lanes of its group; groups begin at multiples. */
  readonly lanes: 32 | 128
  readonly a: Operand<Half>
  readonly b: Operand<Half>
  readonly c: Operand
  /** The compute capability of CUDA that it needs, times ten; a later one has it as well unless `only`. Infinite: it is not one of CUDA's. */
  readonly arch: number
  readonly only?: true
  /** Whether its result is there only after a wait. */
  readonly asynchronous: boolean
}

const fragment: Operand["places"] = ["fragment"]

/** The parts of 16 rows and 16 columns of halves that 32 lanes hold; four times as many rows by 128 lanes. */
const rowsOfHalves = "c1 c2 r0 r1 r2"
const held = "c0 r3 c3"

const warp = (storage: Half): Atom => ({
  name: `mma.m16n8k16.${storage}`,
  m: 16,
  n: 8,
  k: 16,
  lanes: 32,
  a: { storage, layout: layout(rowsOfHalves, held), places: fragment },
  b: { storage, layout: layout("r1 r2 c0 c1 c2", "r0 r3"), places: fragment },
  c: { storage: "f32", layout: layout(rowsOfHalves, "c0 r3"), places: fragment },
  arch: 80,
  asynchronous: false,
})

const warps = (storage: Half, n: number): Atom => {
  const columns = Array.from({ length: Math.log2(n) - 3 }, (_, i) => `c${i + 3}`).join(" ")
  const lane = `${rowsOfHalves} r4 r5`
  return {
    name: `wgmma.m64n${n}k16.${storage}`,
    m: 64,
    n,
    k: 16,
    lanes: 128,
    a: { storage, layout: layout(lane, held), places: ["fragment", "shared"] },
    b: { storage, layout: undefined, places: ["shared"] },
    c: { storage: "f32", layout: layout(lane, `c0 r3 ${columns}`), places: fragment },
    arch: 90,
    only: true,
    asynchronous: true,
  }
}

const opaque = <S extends Half | "f32">(storage: S): Operand<S> => ({ storage, layout: undefined, places: fragment })

const matrices: Atom = {
  name: "subgroup.m16n16k16.f16",
  m: 16,
  n: 16,
  k: 16,
  lanes: 32,
  a: opaque("f16"),
  b: opaque("f16"),
  c: opaque("f32"),
  arch: Number.POSITIVE_INFINITY,
  asynchronous: false,
}

const all = (["bf16", "f16"] as const).flatMap((storage) => [
  warp(storage),
  ...[64, 128, 256].map((n) => warps(storage, n)),
])

export const atoms: ReadonlyMap<string, Atom> = new Map([...all, matrices].map((atom) => [atom.name, atom]))

/** Whether only the hardware knows which element a lane holds. */
export const isOpaque = (name: string, operand: OperandName): boolean => {
  const atom = atoms.get(name)
  return atom !== undefined && atom[operand].layout === undefined
}

/** Rows and columns of an operand. */
export function shapeOf({ m, n, k }: Atom, operand: OperandName): { readonly rows: number; readonly columns: number } {
  return { rows: operand === "b" ? k : m, columns: operand === "a" ? k : n }
}

/** Halves at whose multiples rows of a tile begin, for what the hardware reads of one at once: 16 bytes. */
export const tileAlignment = 8

/** Elements that a lane of the group holds of one fragment. */
export function fragmentSize(atom: Atom, operand: OperandName): number {
  const { rows, columns } = shapeOf(atom, operand)
  return (rows * columns) / atom.lanes
}
