/**
 * The arrays of a kernel as CUDA has them: how their elements lie, and the text of an element's address.
 *
 *   x[i + 4]                                    →   x + (i + 4)
 *   tile[4096 · stage + 64 · row + c]           →   swizzled<128>(tile, (row * 64) + c) + stage * 4096          in rows of 128 bytes
 *
 * What moves by whole periods of a swizzle stays outside of it: compilers see through sums, and not through what is exchanged.
 */
import { apply, isLiteral, literal, mul, substitute } from "../../ir/expression.js"
import { divided, fromLinear, linear } from "../../ir/linear.js"
import { type LoopKernel, type Place, packed, type Statement, type Storage, storageBytes } from "../../ir/loop.js"
import { everyStatement } from "../../ir/loop-visit.js"
import type { Expression } from "../../ir/nodes.js"
import type { Context } from "../text/dialect.js"
import { printed, spelled } from "../text/expression.js"
import { factorOf } from "../text/factors.js"
import { bare } from "../text/literals.js"

export interface ArrayFacts {
  readonly storage: Storage
  readonly space: "buffer" | "shared" | "register" | "aside"
  /** Whether no launch writes it. */
  readonly steady?: boolean | undefined
  readonly once?: boolean | undefined
  /**
   * Whether what a lane reads of it at once is a part of a line of which others read the rest: words of which fragments are made lie in rows, 64 bytes of each.
   * Measured on an H200: a model of 8B in 8-bit floats made 390 tokens a second where lines came as wholes, 375 where they did not.
   */
  readonly lines?: boolean | undefined
  readonly swizzle?: number | undefined
  /** Elements; of buffers it does not matter. */
  readonly size: number
  /** Whether it is of fragments whose halves share words. */
  readonly pairs?: boolean
}

export function arraysOf(kernel: LoopKernel): ReadonlyMap<string, ArrayFacts> {
  const all = everyStatement(kernel.body)
  const isMultiplied = all.some((s) => s.kind === "multiply")
  const arrays = new Map<string, ArrayFacts>(
    kernel.buffers.map((b) => {
      const lines = isMultiplied && b.once === true && b.storage === "u32"
      return [b.name, { storage: b.storage, space: "buffer", steady: b.steady, once: b.once, lines, size: 0 }]
    }),
  )
  for (const s of all) if (s.kind === "alloc") arrays.set(s.name, factsOf(s))
  return arrays
}

export function factsOf(s: Statement & { kind: "alloc" }): ArrayFacts {
  const storage = s.storage ?? s.dtype
  const { swizzle, size } = s
  const space = s.aside === true ? "aside" : s.space
  return { storage, space, swizzle, size, ...(s.layout !== undefined && packed(storage) ? { pairs: true } : {}) }
}

/** Registers of a lane for all arrays that it has. */
export const registersOf = (arrays: ReadonlyMap<string, ArrayFacts>): number =>
  [...arrays.values()].reduce((n, { space, size, pairs }) => (space === "register" ? n + size / (pairs ? 2 : 1) : n), 0)

/** Rows of which each has another order of its pieces, and as many bytes as that takes. */
const rowsOfPeriod = 8

/** Bytes at whose multiples an array in shared memory begins: those of the widest access, or of a period of its swizzle. */
export const alignmentOf = ({ swizzle }: ArrayFacts): number => (swizzle === undefined ? 16 : rowsOfPeriod * swizzle)

/** The text of the address of an element that is at `offset` elements. */
export const addressText = ({ swizzle }: ArrayFacts, array: string, offset: string): string =>
  swizzle === undefined ? `${array} + ${offset}` : `swizzled<${swizzle}>(${array}, ${bare(offset)})`

/**
 * The texts of the addresses of elements; declarations that they need are written before. `counted`: as if no array were swizzled, for
 * instructions that know of it themselves.
 */
export function placeTexts(
  context: Context,
  arrays: ReadonlyMap<string, ArrayFacts>,
  places: readonly Place[],
  counted = false,
): readonly string[] {
  const parts = places.map(({ array, offset }) => {
    const own = arrays.get(array)!
    const facts = counted ? { ...own, swizzle: undefined } : own
    const [lowered] = context.dialect.lowered(context, facts.pairs ? halved(offset) : offset)
    const period = facts.swizzle === undefined ? 1 : alignmentOf(facts) / storageBytes(facts.storage)
    return { array, facts, ...split(lowered!, period, context.definitions) }
  })
  const texts = printed(
    { ...context, numbers: true },
    parts.flatMap(({ inside, whole }) => [inside, whole]),
  )
  return parts.map(({ array, facts, whole }, i) => {
    const inner = addressText(facts, spelled(context, array), texts[2 * i]!)
    return isLiteral(whole) && whole.value === 0 ? inner : `${inner} + ${texts[2 * i + 1]}`
  })
}

/** The number of the word that has an even half. */
function halved(offset: Expression): Expression {
  const exact = divided(offset, 2)
  return exact?.rest === 0 ? exact.quotient : apply("floordiv", offset, literal(2))
}

/** x = inside + whole, where whole is made of the terms that are known to be multiples of a power of two. */
function split(
  x: Expression,
  period: number,
  definitions: ReadonlyMap<string, Expression>,
): { readonly inside: Expression; readonly whole: Expression } {
  if (period === 1) return { inside: x, whole: literal(0) }
  const isWhole = ([term, by]: readonly [Expression, number]) => (factorOf(term, definitions) * by) % period === 0
  // A name is what it stands for where a part of that is whole.
  const opened = (all: Expression): Expression => {
    const names = new Map<string, Expression>()
    for (const t of linear(all).terms) {
      const own = t[0].kind === "variable" && !isWhole(t) ? definitions.get(t[0].name) : undefined
      const isSum = own !== undefined && linear(own).terms.size > 1
      if (isSum && [...linear(mul(own, literal(t[1]))).terms].some(isWhole))
        names.set((t[0] as { name: string }).name, own)
    }
    return names.size === 0 ? all : substitute(all, names)
  }
  const { terms, constant } = linear(opened(x))
  const rest = ((constant % period) + period) % period
  return {
    inside: fromLinear({ terms: new Map([...terms].filter((t) => !isWhole(t))), constant: rest }),
    whole: fromLinear({ terms: new Map([...terms].filter(isWhole)), constant: constant - rest }),
  }
}
