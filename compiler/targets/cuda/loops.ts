/**
 * Which loops the compiler of CUDA is told to unroll: those that go through arrays in registers, for an array stays there only where each of its
 * indices is known; and which it is to leave: what is begun in one turn and waited for in another. The others are its own choice.
 *
 *   for run < 6 { …; level[free · 8] = sum }   →   #pragma unroll
 *   for turn < 12 { wait copies but 2; … }     →   #pragma unroll 1
 *   for piece < 16 { copy … }                  →   #pragma unroll 8
 */
import { isLiteral } from "../../ir/expression.js"
import type { LoopKernel, Statement } from "../../ir/loop.js"
import { everyStatement, expressionsOf } from "../../ir/loop-visit.js"
import { nodesOf } from "../../ir/query.js"

/** Statements that a loop may become, so that they are compiled in time and their values fit. Not measured. */
const most = 256

export function isUnrolled(s: Statement & { kind: "for" }, registers: ReadonlySet<string>): boolean {
  if (s.bind !== "serial" || !isLiteral(s.extent)) return false
  const inside = everyStatement(s.body)
  return s.extent.value * inside.length <= most && choosesOf(registers, inside)
}

/** Whether statements go through arrays in registers by indices that loops decide. */
const choosesOf = (registers: ReadonlySet<string>, statements: readonly Statement[]): boolean =>
  statements.some(
    (x) =>
      (x.kind === "store" && registers.has(x.array) && !isLiteral(x.offset)) ||
      nodesOf(expressionsOf(x), "fetch").some((f) => registers.has(f.array) && !isLiteral(f.offset)),
  )

/**
 * Whether a loop stays one: turns overlap by what they wait for already, and the places of all copies of all turns at once do not fit into
 * registers. Products of 64 × 64 over 12 chunks for sm_80: 113 registers, where nvcc by itself makes 255 and spills.
 */
export const isKept = (s: Statement & { kind: "for" }): boolean =>
  s.bind === "serial" && everyStatement(s.body).some((x) => x.kind === "wait" || x.kind === "arrived")

/**
 * Copies of a lane of which the places are known at once, where registers are scarce: those of 16 pieces of keys and 16 of values took 40 registers that
 * results, scores and weights of 16 rows needed (nvcc 13.0, sm_90a: 255 and a few bytes spilled; 215 by eights). Not measured.
 */
const copiesAtOnce = 8

/** How the compiler is told to unroll a loop: all of it, or, where registers are scarce, so many copies at a time. */
export function unrollOf(s: Statement & { kind: "for" }, registers: ReadonlySet<string>, scarce: boolean): string {
  const inside = everyStatement(s.body)
  const isLong = isLiteral(s.extent) && s.extent.value > copiesAtOnce
  const copies = inside.some((x) => x.kind === "copy") && !choosesOf(registers, inside)
  return scarce && isLong && copies ? `#pragma unroll ${copiesAtOnce}` : "#pragma unroll"
}

/** Statements that unrolled loops are printed as, in kernels of fragments; longer ones stay loops, for compilers take long over much text. Not measured. */
export const straight = 4

/** How many statements a loop becomes where it and those inside of it are unrolled. */
export function statementsOf(s: Statement): number {
  const inside = (body: readonly Statement[]): number => body.reduce((sum, x) => sum + statementsOf(x), 0)
  if (s.kind === "if") return 1 + inside(s.body) + inside(s.otherwise)
  if (s.kind === "block") return inside(s.body)
  if (s.kind !== "for") return 1
  return inside(s.body) * (s.bind === "unroll" && isLiteral(s.extent) ? s.extent.value : 1)
}

/** Whether a kernel has what the compiler of CUDA unrolls itself: matrix units and asynchronous copies. */
export const hasFragments = (kernel: LoopKernel): boolean =>
  everyStatement(kernel.body).some(
    (s) => s.kind === "multiply" || s.kind === "fill" || s.kind === "copy" || s.kind === "copyBoxes",
  )
