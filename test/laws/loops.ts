/**
 * What tile, clean, invariants and vectors must keep: the loops of a kernel under any schedule store what the kernel stores, and nothing else.
 */
import { interpretKernel } from "../../compiler/interpret/kernel.js"
import { interpretLoop } from "../../compiler/interpret/loop.js"
import type { Memory } from "../../compiler/interpret/memory.js"
import { givenBound } from "../../compiler/interpret/scalar-bounds.js"
import { type Kernel, written } from "../../compiler/ir/kernel.js"
import type { LoopKernel } from "../../compiler/ir/loop.js"
import { sameTable } from "../../compiler/ir/memoized.js"
import { printKernel } from "../../compiler/ir/print/kernel.js"
import { printLoop } from "../../compiler/ir/print/loop.js"
import { verifyLoop } from "../../compiler/ir/verify/loop.js"
import { bringAhead } from "../../compiler/loop/bring-ahead.js"
import { clean } from "../../compiler/loop/clean.js"
import { dropBarriers } from "../../compiler/loop/drop-barriers.js"
import { hoistInvariants } from "../../compiler/loop/hoist-invariants.js"
import { mergeLoads } from "../../compiler/loop/merge-loads.js"
import { numbersFirst } from "../../compiler/loop/numbers-first.js"
import { readOnce } from "../../compiler/loop/read-once.js"
import { startEarly } from "../../compiler/loop/start-early.js"
import { isRefusal, tile } from "../../compiler/tile/tile.js"
import type { Regime } from "./program.js"
import type { Scheduled } from "./schedules.js"
import { difference } from "./tolerance.js"

export type Memories = ReadonlyMap<string, Memory>

export const copied = (buffers: Memories): Map<string, Memory> =>
  new Map([...buffers].map(([name, m]) => [name, { ...m, values: m.values.slice() }]))

/** A kernel's effect: its memories afterwards, with bounds of f32 elements in the analytic regime. */
export interface Effect {
  readonly kernel: Kernel
  readonly before: Memories
  readonly after: Memories
  readonly bounds: ReadonlyMap<string, Float64Array> | undefined
  /** Whether there are infinities and NaN in the memories. */
  readonly special: boolean
  /** Elements of the longest fold, where they are thousands. */
  readonly folded?: number
}

/** Runs a kernel; `buffers` become what it leaves. */
export function effectOf(
  kernel: Kernel,
  buffers: Memories,
  symbols: ReadonlyMap<string, number>,
  regime: Regime,
  special = false,
): Effect {
  const before = copied(buffers)
  const bounds =
    regime === "exact"
      ? undefined
      : new Map([...buffers].map(([name, m]) => [name, Float64Array.from(m.values, givenBound)]))
  interpretKernel(kernel, buffers, symbols, bounds === undefined ? {} : { bounds })
  return { kernel, before, after: copied(buffers), bounds, special }
}

/** What is wrong with the memories that loops, or a device, left. */
export function wrongEffect(
  { kernel, after, bounds, special, folded }: Effect,
  found: ReadonlyMap<string, { readonly values: ArrayLike<number> }>,
): string | undefined {
  const stored = written(kernel)
  for (const { name, dtype, storage } of kernel.buffers) {
    if (!stored.has(name)) continue
    const problem = difference({
      name,
      expected: after.get(name)!.values,
      found: found.get(name)!.values,
      bound: dtype === "f32" ? bounds?.get(name) : undefined,
      storage,
      special,
      folded,
    })
    if (problem !== undefined) return problem
  }
  return undefined
}

export function runLoops(
  loops: LoopKernel,
  before: Memories,
  symbols: ReadonlyMap<string, number>,
  seed: number,
): Memories {
  const memories = copied(before)
  interpretLoop(loops, memories, symbols, { seed })
  return memories
}

export class LawBroken extends Error {}

/** The loops of a kernel under a schedule, or the code of the refusal. */
export function loopsOf(kernel: Kernel, { schedule, options }: Scheduled): Stages | string {
  const tiled = tile(kernel, schedule, options)
  if (isRefusal(tiled)) return tiled.code
  const cleaned = clean(tiled)
  const hoisted = hoistInvariants(cleaned)
  const here = sameTable()
  let merged: LoopKernel | undefined
  return {
    tiled,
    cleaned,
    hoisted,
    // For WebAssembly nobody asks.
    get merged() {
      merged ??= here(() => dropBarriers(mergeLoads(numbersFirst(hoisted))))
      return merged
    },
  }
}

/** The loops after each pass. */
export interface Stages {
  readonly tiled: LoopKernel
  readonly cleaned: LoopKernel
  readonly hoisted: LoopKernel
  /** For devices that like wide fetches, and whose lanes wait for one another. */
  readonly merged: LoopKernel
}

/** Loops that start early, where every other buffer that they only read is steady, or those that are called so; what lanes of products read of streams is brought to them. */
export function early(loops: LoopKernel, isSteady = (_: string, read: number) => read % 2 === 0): LoopKernel {
  let reads = 0
  const buffers = loops.buffers.map((b) =>
    b.access === "read" && isSteady(b.name, reads++) ? { ...b, steady: true as const } : b,
  )
  const brought = bringAhead(readOnce({ ...loops, buffers }), {
    reads: 12,
    bytes: 16,
    turns: 1,
    share: 0,
    sharedBytes: 1 << 20,
  })
  return startEarly(brought, { reads: 3, bytes: 4 })
}

/** Checks one kernel under one schedule. Answers with the code of the refusal, if any. @throws LawBroken */
export function checkLoops(
  effect: Effect,
  scheduled: Scheduled,
  symbols: ReadonlyMap<string, number>,
  seed: number,
): string | undefined {
  const made = tried(effect.kernel, scheduled)
  if (typeof made === "string") return made
  for (const [stage, loops] of [
    ["tile", made.tiled],
    ["clean", made.cleaned],
    ["invariants", made.hoisted],
    ["vectors", early(made.merged)],
  ] as const) {
    const problems = verifyLoop(loops, scheduled.options)
    const wrong =
      problems.length > 0
        ? problems.map((p) => p.message).join("; ")
        : attempt(() => wrongEffect(effect, runLoops(loops, effect.before, symbols, seed)))
    if (wrong !== undefined)
      throw new LawBroken(
        `${stage}: ${wrong}\n${printKernel(effect.kernel)}\n${JSON.stringify(scheduled)}\n${printLoop(loops)}`,
      )
  }
  return undefined
}

/** Whether loops are seen to be wrong: by the verifier, by a fault of the interpreter, or by what they store. */
export const isWrong = (
  effect: Effect,
  loops: LoopKernel,
  symbols: ReadonlyMap<string, number>,
  seed: number,
): boolean =>
  verifyLoop(loops).length > 0 ||
  attempt(() => wrongEffect(effect, runLoops(loops, effect.before, symbols, seed))) !== undefined

function tried(kernel: Kernel, scheduled: Scheduled): ReturnType<typeof loopsOf> {
  try {
    return loopsOf(kernel, scheduled)
  } catch (cause) {
    throw new LawBroken(
      `${cause instanceof Error ? cause.stack : cause}\n${printKernel(kernel)}\n${JSON.stringify(scheduled)}`,
      { cause },
    )
  }
}

function attempt(check: () => string | undefined): string | undefined {
  try {
    return check()
  } catch (e) {
    return e instanceof Error ? `${e.name}: ${e.message}` : String(e)
  }
}
